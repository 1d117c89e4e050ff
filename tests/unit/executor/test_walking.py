"""A holder and its run's log: what was decided too early is taken back, and what has happened is told all the same."""

import asyncio
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from perdure.v1 import instances_pb2, plans_pb2, run_states_pb2
from tests.unit.executor.walked import HOLD, INTERRUPT, LAPSED, RELEASE, Walked, done, raises, until

AT_MOST_ONCE = instances_pb2.EFFECT_AT_MOST_ONCE
FOUR = Duration(seconds=4)


@pytest.fixture
def walk(plans: Any) -> Any:
    """Walks a line of function nodes, each given as its name, its fields and its function."""

    def begin(*nodes: tuple[str, dict[str, Any], Any]) -> Walked:
        line = [plans.node(name, function=plans_pb2.FunctionNode(function=name), **fields) for name, fields, _ in nodes]
        return Walked(plans.line(*line), {name: function for name, _, function in nodes})

    return begin


async def test_a_walk_that_nobody_disturbs_ends_and_gives_the_run_up(walk: Any) -> None:
    walked = walk(("a", {}, done), ("b", {"effect": AT_MOST_ONCE}, done))

    await walked.settle()

    assert walked.called == ["a", "b"]
    assert walked.kinds() == ["node_started", "node_settled", "node_started", "node_settled", "run_ended"]
    assert walked.over
    assert walked.violations() == []


@pytest.mark.parametrize("effect", [instances_pb2.EFFECT_NONE, AT_MOST_ONCE])
@pytest.mark.parametrize(("told", "end"), [(INTERRUPT, "run_ended"), (HOLD, "run_paused")], ids=["stop", "hold"])
async def test_a_start_that_met_a_stop_or_a_hold_is_taken_back_and_its_work_never_begins(
    walk: Any, told: dict[str, Any], end: str, effect: Any
) -> None:
    walked = walk(("a", {"effect": effect}, done))
    walked.outside(**told)

    answers = await walked.settle()

    assert answers[0] == "Behind"
    assert walked.called == []
    assert walked.kinds()[1:] == [end]
    assert walked.over
    assert walked.violations() == []


async def test_work_that_ran_ahead_of_a_hold_is_told_and_the_next_node_waits(walk: Any) -> None:
    walked = walk(("a", {}, done), ("b", {"effect": AT_MOST_ONCE}, done))
    await until(lambda: walked.called)
    walked.outside(**HOLD)

    await walked.settle()

    assert walked.called == ["a"]
    assert walked.kinds() == ["fact_recorded", "node_started", "node_settled", "run_paused"]
    assert walked.log[3].event.node_started.ran_ahead
    assert walked.violations() == []


async def test_a_hold_that_is_gone_before_the_holder_heard_of_it_keeps_nothing_back(walk: Any) -> None:
    walked = walk(("a", {"effect": AT_MOST_ONCE}, done))
    walked.outside(**HOLD)
    walked.outside(**RELEASE)

    await walked.settle()

    assert walked.called == ["a"]
    assert walked.kinds()[-1] == "run_ended"
    assert walked.violations() == []


async def test_an_end_that_was_decided_before_a_stop_came_is_decided_again(walk: Any) -> None:
    walked = walk(("a", {}, done))
    await until(lambda: walked.stream.awaits_answer)  # the end is decided, and not sent yet
    walked.outside(**INTERRUPT)

    answers = await walked.settle()

    assert "Behind" in answers
    ended = walked.log[-1].event.run_ended
    assert (ended.state, ended.stop_too_late) == (run_states_pb2.RUN_STATE_COMPLETED, True)
    assert walked.violations() == []


async def test_a_retry_whose_delay_is_over_under_a_hold_begins_when_the_hold_is_gone(
    walk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[Any] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda delay, call, *arguments: timers.append((delay, call, arguments)))
    walked = walk(("a", {"iteration_cap": 2, "backoff": plans_pb2.Backoff(initial=FOUR, maximum=FOUR)}, raises))
    await walked.settle()
    ((delay, over, arguments),) = timers
    walked.outside(**HOLD)
    walked.deliver()

    over(*arguments)
    before = list(walked.called)
    walked.outside(**RELEASE)
    walked.deliver()
    await walked.settle()

    assert delay == 4
    assert (before, walked.called) == (["a"], ["a", "a"])
    assert walked.violations() == []


async def test_a_holder_that_leaves_lets_work_end_and_gives_the_run_back(walk: Any) -> None:
    release = asyncio.Event()

    async def waits(call: Any) -> None:
        await release.wait()

    walked = walk(("a", {}, waits), ("b", {}, done))
    await walked.settle()

    walked.walker.drain()
    await walked.settle()
    early = walked.over
    release.set()
    await walked.settle()

    assert not early
    assert (walked.called, walked.kinds()) == (["a"], ["node_started", "node_settled", "lease_returned"])
    assert walked.over
    assert walked.violations() == []


async def test_what_ended_while_the_lease_was_lost_is_reported_where_it_was_guarded(walk: Any) -> None:
    release = asyncio.Event()

    async def waits(call: Any) -> None:
        try:
            await release.wait()
        except asyncio.CancelledError:
            return  # it was too late to stop it

    walked = walk(("a", {"effect": AT_MOST_ONCE}, waits))
    await walked.settle()

    walked.outside(lease_revoked=LAPSED)
    walked.walker.drain()
    walked.walker.stop_runs()
    answers = await walked.settle()

    assert answers == ["Rejected"]
    (report,) = walked.walker.late_reports()
    assert report.report.outcome == instances_pb2.OUTCOME_SUCCEEDED
    assert walked.kinds() == ["node_started", "lease_revoked"]
    assert walked.over


async def test_a_fault_of_ours_ends_the_work_of_its_run_and_no_other(
    walk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(context: Any) -> Any:
        raise AssertionError("this cannot be")

    release = asyncio.Event()

    async def waits(call: Any) -> None:
        await release.wait()

    other, walked = walk(("a", {}, waits)), walk(("a", {}, waits), ("b", {}, done))
    await walked.settle()
    await other.settle()
    monkeypatch.setattr("perdure_executor.walker.made_ready", broken)
    release.set()

    await walked.settle()
    await other.settle()

    assert (walked.called, walked.over) == (["a"], True)
    assert other.kinds()[-1] == "run_ended"


async def test_a_run_that_cannot_be_begun_is_let_go_of(walk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(context: Any) -> Any:
        raise AssertionError("this cannot be")

    monkeypatch.setattr("perdure_executor.walker.made_ready", broken)

    walked = walk(("a", {}, done))

    assert walked.over


async def test_a_run_that_was_lost_is_let_go_of_though_its_last_work_cannot_be_told(
    walk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise AssertionError("this cannot be")

    async def waits(call: Any) -> None:
        await asyncio.Event().wait()

    walked = walk(("a", {}, waits))
    await walked.settle()
    monkeypatch.setattr("perdure_executor.walker.stopped", broken)

    walked.walker.fence()
    await walked.settle()

    assert walked.over
