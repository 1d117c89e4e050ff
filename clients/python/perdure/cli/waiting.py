"""What a run waits for, as its explanation says: whoever paused it, a person's decision, or an executor."""

from perdure.cli.explaining import tell
from perdure.client import Client
from perdure.v1.fact_events_pb2 import HOLD_CAUSE_OPERATOR
from perdure.v1.run_explanations_pb2 import RunExplanation, RunReason
from perdure.v1.runs_pb2 import ExplainRunRequest


async def waiting_steps(perdure: Client, name: str) -> list[str]:
    """For `runs/{run}`, what it waits for, each with the command to type; none where it waits for nothing.

    Raises CallFailed.
    """
    found = await perdure.runs.ExplainRun(ExplainRunRequest(name=name))
    return [_line(found, reason) for reason in found.reasons if _waits(reason)]


async def unserved(perdure: Client, name: str) -> str:
    """What is to be done where `runs/{run}` waits that no live executor would take; else empty. Raises CallFailed."""
    found = await perdure.runs.ExplainRun(ExplainRunRequest(name=name))
    return next((_line(found, reason) for reason in found.reasons if reason.HasField("unserved")), "")


def _waits(reason: RunReason) -> bool:
    if reason.HasField("hold"):
        return reason.hold.cause == HOLD_CAUSE_OPERATOR
    return reason.WhichOneof("reason") in ("decision", "unserved", "queue_place")


def _line(found: RunExplanation, reason: RunReason) -> str:
    told = tell(found, reason)
    return f"{told.words}: {told.step}"
