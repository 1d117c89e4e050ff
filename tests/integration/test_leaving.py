"""An executor that is asked to leave lets what runs end, gives its runs back, and nobody waits for its lease."""

import asyncio
from typing import Any

from perdure.v1 import flows_pb2, runs_pb2

PLAYBOOK = """
playbook_id: long
version: 1.0.0
title: A long job
objective: Do it in two steps
nodes:
  - {id: first, type: function, function: first, effect: EFFECT}
  - {id: second, type: function, function: second, effect: none}
"""


class Job:
    """Functions that say when they began and end when they are let."""

    def __init__(self) -> None:
        self.began, self.may_end = asyncio.Event(), asyncio.Event()
        self.attempts: list[tuple[str, int]] = []

    async def first(self, call: Any) -> dict[str, Any]:
        self.attempts.append(("first", call.attempt))
        self.began.set()
        await self.may_end.wait()
        return {}

    async def second(self, call: Any) -> dict[str, Any]:
        self.attempts.append(("second", call.attempt))
        return {}

    @property
    def functions(self) -> dict[str, Any]:
        return {"first": self.first, "second": self.second}


async def kinds(service: Any, flow: flows_pb2.Flow) -> list[str]:
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run, page_size=500))
    return [recorded.event.WhichOneof("kind") for recorded in listed.events]


async def test_what_runs_ends_there_and_the_rest_is_done_elsewhere(serve: Any, hire: Any) -> None:
    service, job = await serve(), Job()
    leaving = await hire(service, job.functions, name="x", drain_seconds=60.0)
    flow = await service.start(PLAYBOOK.replace("EFFECT", "at_most_once"))
    await job.began.wait()

    left = asyncio.create_task(leaving.drain())
    await asyncio.sleep(0)
    job.may_end.set()
    await left
    await hire(service, job.functions, name="y")
    done = await service.settled(flow)

    stored = await kinds(service, flow)
    assert done.status == flows_pb2.Flow.STATUS_SUCCEEDED
    assert job.attempts == [("first", 1), ("second", 1)]
    assert (stored.count("lease_returned"), stored.count("lease_revoked")) == (1, 0)


async def test_repeatable_work_that_takes_too_long_is_stopped_and_done_again_elsewhere(serve: Any, hire: Any) -> None:
    service, job = await serve(), Job()
    leaving = await hire(service, job.functions, name="x", drain_seconds=0.01)
    flow = await service.start(PLAYBOOK.replace("EFFECT", "none"))
    await job.began.wait()

    await leaving.drain()
    job.may_end.set()
    await hire(service, job.functions, name="y")
    done = await service.settled(flow)

    assert done.status == flows_pb2.Flow.STATUS_SUCCEEDED
    assert job.attempts == [("first", 1), ("first", 2), ("second", 1)]
    assert "lease_revoked" not in await kinds(service, flow)


async def test_guarded_work_that_takes_too_long_is_in_doubt_and_not_done_again(serve: Any, hire: Any) -> None:
    service, job = await serve(), Job()
    leaving = await hire(service, job.functions, name="x", drain_seconds=0.01)
    flow = await service.start(PLAYBOOK.replace("EFFECT", "at_most_once"))
    await job.began.wait()

    await leaving.drain()
    await hire(service, job.functions, name="y")
    await service.until(flow, lambda recorded: recorded.event.HasField("node_in_doubt"))

    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))
    assert run.effects_in_doubt == 1
    assert job.attempts == [("first", 1)]


async def test_an_executor_says_what_it_holds_when_it_is_asked_to_leave_and_when_it_has_left(
    serve: Any, employ: Any, lasting: str
) -> None:
    service = await serve()
    executor = employ(service, "leaving", "--drain-seconds", "0.5")
    flow = await service.start(lasting)
    await service.until(flow, lambda recorded: recorded.event.HasField("task_output"))

    executor.process.terminate()
    await asyncio.to_thread(executor.process.wait)

    said = [line for line in executor.log_lines() if line["event"] in {"executor.draining", "executor.left"}]
    assert [line["event"] for line in said] == ["executor.draining", "executor.left"]
    assert (said[0]["held"], said[0]["seconds"]) == (1, 0.5)
