"""Runs that an operator pauses while executors work on them: what has begun ends, and nothing begins."""

import asyncio
from typing import Any

import pytest

from perdure.v1 import fact_events_pb2, flows_pb2, instances_pb2, run_events_pb2, run_states_pb2, runs_pb2

LINE = """
playbook_id: line
version: 1.0.0
title: A line
objective: Do one thing after the other
nodes:
  - {id: first, type: function, function: first, effect: EFFECT}
  - {id: second, type: function, function: second, effect: EFFECT}
"""
BRANCHES = """
playbook_id: branches
version: 1.0.0
title: Branches
objective: Do two things side by side
nodes:
  - {id: left, type: function, function: left, effect: none, depends: []}
  - {id: right, type: function, function: right, effect: none, depends: []}
  - {id: both, type: function, function: both, effect: none, depends: [left, right]}
"""


def kind(name: str) -> Any:
    return lambda recorded: recorded.event.HasField(name)


async def get(service: Any, flow: flows_pb2.Flow) -> runs_pb2.Run:
    return await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))


async def pause(service: Any, flow: flows_pb2.Flow, reason: str = "") -> runs_pb2.Run:
    return await service.runs.PauseRun(runs_pb2.PauseRunRequest(name=flow.root_run, reason=reason))


async def resume(service: Any, flow: flows_pb2.Flow) -> runs_pb2.Run:
    return await service.runs.ResumeRun(runs_pb2.ResumeRunRequest(name=flow.root_run))


async def log_of(service: Any, flow: flows_pb2.Flow) -> list[run_events_pb2.RecordedEvent]:
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run, page_size=500))
    return list(listed.events)


class Steps:
    """Two functions, of which the first ends when it is told to."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.called: list[str] = []

    async def first(self, call: Any) -> dict[str, Any]:
        self.called.append("first")
        call.log("begun")
        await self.may_end.wait()
        return {}

    async def second(self, call: Any) -> dict[str, Any]:
        self.called.append("second")
        return {}

    @property
    def functions(self) -> dict[str, Any]:
        return {"first": self.first, "second": self.second}


@pytest.mark.parametrize("effect", ["none", "at_most_once"])
async def test_a_pause_in_the_middle_of_a_node_lets_it_end_and_the_next_begins_after_the_resume(
    serve: Any, hire: Any, effect: str
) -> None:
    service, steps = await serve(), Steps()
    await hire(service, steps.functions)
    flow = await service.start(LINE.replace("EFFECT", effect))
    await service.until(flow, lambda recorded: recorded.event.log_line.text == "begun")

    pausing = await pause(service, flow, "look first")
    seen = await service.flows.GetFlow(flows_pb2.GetFlowRequest(name=flow.name))
    steps.may_end.set()
    await service.until(flow, kind("run_paused"))
    paused, called, log = await get(service, flow), list(steps.called), await log_of(service, flow)
    resumed = await resume(service, flow)
    ended = await service.settled(flow)

    assert pausing.state == run_states_pb2.RUN_STATE_RUNNING
    assert seen.status == flows_pb2.Flow.STATUS_WAITING
    assert (paused.state, paused.pause_reason) == (run_states_pb2.RUN_STATE_PAUSED, runs_pb2.PAUSE_REASON_OPERATOR)
    for shown in (pausing, paused):
        (hold,) = shown.holds
        assert (hold.cause, hold.actor, hold.reason) == (fact_events_pb2.HOLD_CAUSE_OPERATOR, "anonymous", "look first")
    assert [
        recorded.event.node_started.instance.path[0].node for recorded in log if kind("node_started")(recorded)
    ] == ["first"]
    # Work without an effect may run ahead of what its executor has not heard of yet; that comes to nothing.
    assert effect == "none" or called == ["first"]
    assert not resumed.holds
    assert ended.status == flows_pb2.Flow.STATUS_SUCCEEDED
    assert effect == "none" or steps.called == ["first", "second"]
    settled = [
        recorded.event.node_settled for recorded in await log_of(service, flow) if kind("node_settled")(recorded)
    ]
    assert [one.outcome for one in settled] == [instances_pb2.OUTCOME_SUCCEEDED] * 2


async def test_a_run_that_is_resumed_while_its_node_ends_goes_on_at_the_same_executor(serve: Any, hire: Any) -> None:
    service, steps = await serve(), Steps()
    await hire(service, steps.functions)
    flow = await service.start(LINE.replace("EFFECT", "none"))
    await service.until(flow, lambda recorded: recorded.event.log_line.text == "begun")

    await pause(service, flow)
    await resume(service, flow)
    steps.may_end.set()
    ended = await service.settled(flow)

    assert ended.status == flows_pb2.Flow.STATUS_SUCCEEDED
    kinds = [recorded.event.WhichOneof("kind") for recorded in await log_of(service, flow)]
    assert kinds.count("lease_granted") == 1
    assert "run_paused" not in kinds


async def test_a_run_that_waits_for_its_next_attempt_is_held_at_once_and_waits_on_when_it_is_resumed(
    serve: Any, hire: Any, trying_again: str
) -> None:
    calls: list[int] = []

    def flaky(call: Any) -> dict[str, Any]:
        calls.append(1)
        raise ValueError("not yet")

    service = await serve()
    await hire(service, {"flaky": flaky})
    flow = await service.start(trying_again)
    await service.until(flow, kind("run_paused"))

    await pause(service, flow)
    held = await get(service, flow)
    resumed = await resume(service, flow)

    assert (held.state, held.pause_reason) == (run_states_pb2.RUN_STATE_PAUSED, runs_pb2.PAUSE_REASON_OPERATOR)
    assert not held.HasField("lease")
    assert (resumed.state, resumed.pause_reason) == (held.state, runs_pb2.PAUSE_REASON_BACKOFF)
    assert len(calls) == 1
    await service.runs.CancelRun(runs_pb2.CancelRunRequest(name=flow.root_run))


async def test_a_held_run_whose_executor_is_killed_is_not_handed_to_another_until_it_is_resumed(
    serve: Any, employ: Any, lasting: str
) -> None:
    service = await serve(lease_seconds=2.0, heartbeat_seconds=0.5)
    lost = employ(service, "lost")
    flow = await service.start(lasting)
    await service.until(flow, kind("task_output"))

    await pause(service, flow)
    lost.kill()
    employ(service, "other")
    await service.until(flow, kind("lease_revoked"))
    held = await get(service, flow)
    await resume(service, flow)
    begun = [0]

    def again(recorded: run_events_pb2.RecordedEvent) -> bool:
        begun[0] += recorded.event.HasField("node_started")
        return begun[0] == 2

    taken_up = await service.until(flow, again)

    assert (held.state, held.pause_reason) == (run_states_pb2.RUN_STATE_PAUSED, runs_pb2.PAUSE_REASON_OPERATOR)
    log = await log_of(service, flow)
    grants = [one for one in log if one.event.HasField("lease_granted")]
    placed = next(one for one in log if one.event.fact_recorded.HasField("hold_placed"))
    released = next(one for one in log if one.event.fact_recorded.HasField("hold_released"))
    assert grants[-1].event.lease_granted.executor_id == "other"
    assert not [one for one in grants if placed.sequence < one.sequence < released.sequence]
    assert taken_up.sequence > released.sequence
    await service.runs.CancelRun(runs_pb2.CancelRunRequest(name=flow.root_run))


async def test_a_run_of_branches_is_paused_when_the_last_of_them_has_ended_and_then_says_what_each_did(
    serve: Any, hire: Any
) -> None:
    may_end = {"left": asyncio.Event(), "right": asyncio.Event()}
    called: list[str] = []

    def waits(name: str) -> Any:
        async def wait(call: Any) -> dict[str, Any]:
            call.log(f"{name} begun")
            await may_end[name].wait()
            return {}

        return wait

    def both(call: Any) -> dict[str, Any]:
        called.append("both")
        return {}

    service = await serve()
    await hire(service, {"left": waits("left"), "right": waits("right"), "both": both})
    flow = await service.start(BRANCHES)
    begun: set[str] = set()

    def both_begun(recorded: run_events_pb2.RecordedEvent) -> bool:
        begun.add(recorded.event.log_line.text)
        return begun >= {"left begun", "right begun"}

    await service.until(flow, both_begun)

    await pause(service, flow)
    may_end["left"].set()
    await service.until(flow, kind("node_settled"))
    halfway = await service.runs.ExplainRun(runs_pb2.ExplainRunRequest(name=flow.root_run))
    may_end["right"].set()
    await service.until(flow, kind("run_paused"))
    before = list(called)
    await resume(service, flow)
    ended = await service.settled(flow)

    hold, work = halfway.reasons
    assert hold.hold.cause == fact_events_pb2.HOLD_CAUSE_OPERATOR
    assert [attempt.instance for attempt in work.under_way.attempts] == ["right:1#1"]
    assert before == []
    assert called == ["both"]
    assert ended.status == flows_pb2.Flow.STATUS_SUCCEEDED
