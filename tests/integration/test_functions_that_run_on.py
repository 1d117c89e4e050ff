"""A function that cannot be ended: nothing is said of it while it runs, so that nobody begins it beside itself."""

import asyncio
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import grpc.aio
import pytest

from perdure.v1 import fact_events_pb2, flows_pb2, instances_pb2, run_recovery_pb2, runs_pb2
from perdure_executor.work_end import THREADS_LEFT_EXIT_CODE

LOOK_SECONDS = 0.02

PLAYBOOK = """
playbook_id: publishing
version: 1.0.0
title: Publishing
objective: Do something that must not be done twice
nodes:
  - {id: publish, type: function, function: publish, effect: EFFECT, on_failure: {max_iterations: 1}LIMIT}
"""

SLOW = """
import asyncio, pathlib, time

def plain(call):
    call.log("begun")
    while not pathlib.Path("end").exists():
        time.sleep(0.01)

async def deaf(call):
    call.log("begun")
    while not pathlib.Path("end").exists():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue

FUNCTIONS = {"publish": WHICH}
"""
"""A module of a function that ends when a file is there."""


STUCK = """
async def publish(call):
    while True:
        pass

FUNCTIONS = {"publish": publish}
"""
"""A function that lets nothing else of its process go on, a signal's handler among it."""


class Publishing:
    """A plain function that begins, and ends when it is let."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.raises: Exception | None = None
        self.under_way = self.begun = 0
        self.at_once = 0

    def __call__(self, call: Any) -> dict[str, Any]:
        self.begun += 1
        self.under_way += 1
        self.at_once = max(self.at_once, self.under_way)
        call.log("begun")
        self.may_end.wait()
        self.under_way -= 1
        if self.raises is not None:
            raise self.raises
        return {"published": True}


@pytest.fixture
def publishing() -> Iterator[Publishing]:
    function = Publishing()
    yield function
    function.may_end.set()


async def runs_on(service: Any, flow: flows_pb2.Flow) -> None:
    """Returns when the function was to end, and runs on."""
    await service.until(flow, lambda recorded: "nobody can end" in recorded.event.log_line.text)


async def begun(service: Any, flow: flows_pb2.Flow) -> None:
    await service.until(flow, lambda recorded: recorded.event.log_line.text == "begun")


async def reported(service: Any, flow: flows_pb2.Flow) -> run_recovery_pb2.EffectInDoubt:
    """What the executor says of the effect in doubt; the test's own time limit bounds the wait."""
    while True:
        recovery = await service.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=flow.root_run))
        if recovery.in_doubt[0].HasField("report"):
            return recovery.in_doubt[0]
        await asyncio.sleep(LOOK_SECONDS)  # the run has ended, and nobody is told of what comes after


async def kinds(service: Any, flow: flows_pb2.Flow) -> list[str]:
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run, page_size=500))
    return [recorded.event.WhichOneof("kind") for recorded in listed.events]


async def retry(service: Any, flow: flows_pb2.Flow, report_sequence: int = 0) -> None:
    """Answers the doubt: do it again."""
    request = runs_pb2.ResolveEffectRequest(
        name=flow.root_run,
        instance="publish:1#1",
        resolution=fact_events_pb2.RESOLUTION_KIND_RETRY,
        report_sequence=report_sequence,
    )
    await service.runs.ResolveEffect(request)


def playbook(effect: str = "at_most_once", limit: str = "") -> str:
    return PLAYBOOK.replace("EFFECT", effect).replace("LIMIT", limit and f", timeout_seconds: {limit}")


async def test_an_effect_whose_time_is_over_is_in_doubt_only_when_it_has_ended_and_is_never_done_beside_itself(
    serve: Any, hire: Any, publishing: Publishing
) -> None:
    service = await serve()
    await hire(service, {"publish": publishing})
    flow = await service.start(playbook(limit="0.05"))
    await runs_on(service, flow)
    with pytest.raises(grpc.aio.AioRpcError):
        await retry(service, flow)
    before = await kinds(service, flow)

    publishing.may_end.set()
    doubt = await service.until(flow, lambda recorded: recorded.event.HasField("node_in_doubt"))
    await retry(service, flow)
    await service.until(flow, lambda r: r.event.HasField("node_in_doubt") or r.event.HasField("run_ended"))

    assert "node_in_doubt" not in before
    assert doubt.event.node_in_doubt.cause == instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT
    assert doubt.event.node_in_doubt.message == "it did not end within 0.05 s, and succeeded later"
    assert publishing.at_once == 1


async def test_work_that_may_be_repeated_is_not_tried_again_beside_itself_either(
    serve: Any, hire: Any, publishing: Publishing
) -> None:
    service = await serve()
    await hire(service, {"publish": publishing})
    flow = await service.start(playbook("idempotent", "0.05").replace("iterations: 1", "iterations: 2"))
    await runs_on(service, flow)

    publishing.may_end.set()
    done = await service.settled(flow)

    assert (done.status, publishing.begun, publishing.at_once) == (flows_pb2.Flow.STATUS_SUCCEEDED, 2, 1)


@pytest.mark.parametrize(
    ("raises", "outcome"),
    [(None, instances_pb2.OUTCOME_SUCCEEDED), (OSError("no"), instances_pb2.OUTCOME_FAILED)],
    ids=["returns", "raises"],
)
async def test_an_effect_that_comes_to_its_end_after_a_stop_is_what_it_came_to(
    serve: Any, hire: Any, publishing: Publishing, raises: Exception | None, outcome: Any
) -> None:
    service, publishing.raises = await serve(), raises
    await hire(service, {"publish": publishing})
    flow = await service.start(playbook())
    await begun(service, flow)

    await service.runs.InterruptRun(runs_pb2.InterruptRunRequest(name=flow.root_run))
    await runs_on(service, flow)
    publishing.may_end.set()
    settled = await service.until(flow, lambda recorded: recorded.event.HasField("node_settled"))
    await service.settled(flow)

    assert settled.event.node_settled.outcome == outcome
    assert "node_in_doubt" not in await kinds(service, flow)


async def test_a_stop_that_cannot_be_carried_out_leaves_a_doubt_until_the_executor_says_how_it_ended(
    serve: Any, hire: Any, publishing: Publishing
) -> None:
    service = await serve(stop_grace_seconds=0.2, sweep_seconds=0.05, heartbeat_seconds=0.1)
    await hire(service, {"publish": publishing})
    flow = await service.start(playbook())
    await begun(service, flow)

    await service.runs.InterruptRun(runs_pb2.InterruptRunRequest(name=flow.root_run))
    await service.until(flow, lambda recorded: recorded.event.HasField("run_ended"))
    with pytest.raises(grpc.aio.AioRpcError, match="may still run"):
        await retry(service, flow)
    publishing.may_end.set()
    doubt = await reported(service, flow)
    await retry(service, flow, doubt.report_sequence)

    assert doubt.report.outcome == instances_pb2.OUTCOME_SUCCEEDED
    assert publishing.at_once == 1


@pytest.mark.parametrize("which", ["plain", "deaf"])
async def test_an_executor_that_may_wait_no_longer_ends_itself_and_says_nothing_of_the_run(
    serve: Any, employ: Any, tmp_path: pathlib.Path, which: str
) -> None:
    service = await serve(lease_seconds=1.0, heartbeat_seconds=0.3, stall_allowance_seconds=0.5, sweep_seconds=0.1)
    module = tmp_path / "slow.py"
    module.write_text(SLOW.replace("WHICH", which).replace('"end"', repr(str(tmp_path / "end"))))
    executor = employ(service, "leaving", "--functions", str(module))
    flow = await service.start(playbook())
    await begun(service, flow)

    executor.process.terminate()
    code = await asyncio.to_thread(executor.process.wait)
    await service.until(flow, lambda recorded: recorded.event.HasField("lease_revoked"))

    assert code == THREADS_LEFT_EXIT_CODE
    said = [line["event"] for line in executor.log_lines()]
    assert said[-1] == "executor.ends_itself"
    assert "executor.left" not in said
    stored = await kinds(service, flow)
    assert not {"node_in_doubt", "node_settled", "lease_returned"} & set(stored)
    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))
    assert run.effects_in_doubt == 1


async def test_an_executor_whose_loop_stands_still_ends_itself_and_its_run_is_free(
    serve: Any, employ: Any, tmp_path: pathlib.Path
) -> None:
    service = await serve(lease_seconds=1.0, heartbeat_seconds=0.3, stall_allowance_seconds=0.5, sweep_seconds=0.1)
    module = tmp_path / "stuck.py"
    module.write_text(STUCK)
    executor = employ(service, "stuck", "--functions", str(module))
    flow = await service.start(playbook())

    code = await asyncio.to_thread(executor.process.wait)
    await service.until(flow, lambda recorded: recorded.event.HasField("lease_revoked"))

    assert code == THREADS_LEFT_EXIT_CODE
