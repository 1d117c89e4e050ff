"""A long back-off is a wait of the run; a short one is the holder's own."""

from typing import Any

import pytest

from perdure.runlog.intents import Record, Start
from perdure.runlog.interpreter import decide
from perdure.runlog.states import RunState
from perdure.v1 import fact_events_pb2, run_events_pb2
from tests.unit.runlog.graphs import FAILED

ONE_MINUTE = 60.0


def fail(run: Any, seconds: float) -> None:
    """Lets the work that was begun first fail, to be tried again after so many seconds."""
    run.finish(FAILED, backoff=seconds)


@pytest.fixture
def line(rehearse: Any, plans: Any) -> Any:
    """A run of two nodes, of which the first is under way and may be tried again."""
    return rehearse(plans.line(plans.node("a", iteration_cap=3), plans.node("b"))).go(hold_work=True)


def test_nobody_holds_a_run_during_a_long_back_off_and_the_attempt_follows_it(line: Any, at: Any) -> None:
    fail(line, ONE_MINUTE)
    line.go()
    paused = line.state

    line.pass_backoff(at("a"))
    queued = line.state
    line.lease().go()

    assert (paused, queued, line.state) == (RunState.PAUSED, RunState.QUEUED, RunState.COMPLETED)
    assert line.started == ["a:1#1", "a:1#2", "b:1#1"]


def test_a_short_back_off_is_the_holders_own(line: Any) -> None:
    fail(line, 4.0)

    (again,) = decide(line.walk)

    assert isinstance(again, Start)
    assert again.delay == 4.0


def test_another_branch_goes_on_while_one_backs_off(rehearse: Any, plans: Any, at: Any) -> None:
    nodes = [plans.node("a", iteration_cap=3), plans.node("b"), plans.node("c")]
    run = rehearse(plans.graph(nodes, [("b", "c")])).go(hold_work=True)
    fail(run, ONE_MINUTE)

    run.go()
    run.pass_backoff(at("a"))
    run.lease().go()

    assert run.state is RunState.COMPLETED
    assert run.started == ["a:1#1", "b:1#1", "c:1#1", "a:1#2"]


def test_an_executor_that_is_lost_in_between_changes_nothing_about_the_back_off(line: Any, at: Any) -> None:
    fail(line, ONE_MINUTE)
    (record,) = decide(line.walk)
    assert isinstance(record, Record)
    line.append(record.events[0], by_holder=True)
    line.lose().lease().go()

    line.pass_backoff(at("a"))
    line.lease().go()

    assert line.state is RunState.COMPLETED
    assert line.kinds().count("wait_opened") == 1


def test_who_continues_a_run_that_was_stopped_in_a_back_off_does_not_wait_for_it(line: Any) -> None:
    fail(line, ONE_MINUTE)
    line.go()
    interrupted = run_events_pb2.RunEnded(state=RunState.INTERRUPTED.message())
    line.outside(run_ended=interrupted)

    line.outside(run_continued=run_events_pb2.RunContinued(answers_sequence=line.head.ended_sequence))
    line.lease().go()

    assert line.state is RunState.COMPLETED
    assert line.kinds().count("wait_opened") == 1


def test_a_hold_in_a_back_off_keeps_the_attempt_from_beginning_until_it_is_gone(line: Any, at: Any) -> None:
    operator = fact_events_pb2.HOLD_CAUSE_OPERATOR
    fail(line, ONE_MINUTE)
    line.go()
    line.fact(hold_placed=fact_events_pb2.HoldPlaced(cause=operator))
    line.pass_backoff(at("a"))
    held = line.state

    line.fact(hold_released=fact_events_pb2.HoldReleased(cause=operator))
    line.lease().go()

    assert (held, line.state) == (RunState.PAUSED, RunState.COMPLETED)
