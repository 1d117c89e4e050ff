"""What a run waits for: whoever paused it, a person's decision, or an executor."""

from collections.abc import Iterable

from perdure.cli.names import bare
from perdure.cli.pausing import hold_steps
from perdure.cli.printing.words import one_line
from perdure.cli.runtime import read_runtime
from perdure.client import Client
from perdure.v1.fact_events_pb2 import HOLD_CAUSE_OPERATOR
from perdure.v1.run_states_pb2 import RUN_STATE_PAUSED, RUN_STATE_QUEUED
from perdure.v1.runs_pb2 import GetRunRequest, Run
from perdure.v1.server_pb2 import Executor


async def waiting_steps(perdure: Client, name: str) -> list[str]:
    """For `runs/{run}`, what it waits for, each with the command to type; none where it waits for nothing.

    Raises CallFailed.
    """
    run = await perdure.runs.GetRun(GetRunRequest(name=name))
    if run.state == RUN_STATE_QUEUED:
        return [
            await unserved(perdure, run) or "waits for an executor; who has room, and what for: perdure runtime get"
        ]
    steps = [step for step, hold in zip(hold_steps(run), run.holds, strict=True) if hold.cause == HOLD_CAUSE_OPERATOR]
    if run.state == RUN_STATE_PAUSED and any(wait.approval for wait in run.waits):
        steps.append(f"waits for a person: perdure approvals list --run-id {bare(name)}")
    return steps


async def unserved(perdure: Client, run: Run) -> str:
    """What is to be done where a run waits that no live executor would take; else empty. Raises CallFailed."""
    if run.state != RUN_STATE_QUEUED or _serves(run.queue, (await read_runtime(perdure)).live):
        return ""
    queue = one_line(run.queue)
    return f"waits for an executor, and no live one serves its queue {queue}: perdure-server executor --queue {queue}"


def _serves(queue: str, live: Iterable[Executor]) -> bool:
    return any(queue in executor.queues for executor in live)
