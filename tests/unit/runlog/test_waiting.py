"""Waits for a time or a signal: what takes what, in which order, whatever comes between."""

import itertools
from typing import Any

import pytest

from perdure.runlog.folding import fold_event
from perdure.runlog.interpreter import decide
from perdure.runlog.states import RunState
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, instances_pb2, plans_pb2, run_events_pb2

EXPIRED = fact_events_pb2.WaitExpired()
FIRED = fact_events_pb2.TimerFired()


def for_signal(plans: Any, node: str, signal: str, **fields: Any) -> Any:
    return plans.node(node, wait=plans_pb2.WaitNode(signal=signal), **fields)


def for_time(plans: Any, node: str) -> Any:
    wait = plans_pb2.WaitNode()
    wait.duration.FromSeconds(60)
    return plans.node(node, wait=wait)


def pair(plans: Any) -> Any:
    """One node after the other waits for a signal of the same name."""
    return plans.line(for_signal(plans, "first", "go"), for_signal(plans, "second", "go"), plans.node("z"))


def outputs(run: Any) -> dict[str, bytes]:
    return {node: state.output for node, state in run.walk.nodes.items() if state.output}


def test_a_moment_pauses_the_run_and_the_next_node_follows_it(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.line(for_time(plans, "pause"), plans.node("z"))).go()
    paused = run.state

    run.fact(at("pause"), timer_fired=FIRED)
    queued = run.state
    run.lease().go()

    assert (paused, queued, run.state) == (RunState.PAUSED, RunState.QUEUED, RunState.COMPLETED)
    assert run.started == ["pause:1#1", "z:1#1"]


def test_what_comes_with_a_signal_is_the_nodes_output(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(for_signal(plans, "paid", "payment"), plans.node("z"))).go()

    run.signal("payment", b'{"amount":7}')
    run.lease().go()

    assert run.state is RunState.COMPLETED
    assert outputs(run) == {"paid": b'{"amount":7}'}


def test_signals_that_came_before_are_taken_in_order_each_once(rehearse: Any, plans: Any) -> None:
    run = rehearse(pair(plans))
    run.signal("go", b'{"n":1}')
    run.signal("go", b'{"n":2}')
    run.signal("go", b'{"n":3}')

    run.go()

    assert run.state is RunState.COMPLETED
    assert outputs(run) == {"first": b'{"n":1}', "second": b'{"n":2}'}
    assert run.kinds().count("run_paused") == 0


def test_a_signal_for_which_nobody_waits_yet_wakes_nobody(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.line(for_time(plans, "pause"), for_signal(plans, "wait", "go"))).go()

    run.signal("go")

    assert run.state is RunState.PAUSED
    run.fact(at("pause"), timer_fired=FIRED)
    run.lease().go()
    assert run.state is RunState.COMPLETED


def test_a_signal_of_another_name_is_not_taken(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(for_signal(plans, "a", "go"), for_signal(plans, "b", "stop"))).go()

    run.signal("stop")
    stays = run.state
    run.signal("go")
    run.lease().go()

    assert (stays, run.state) == (RunState.PAUSED, RunState.COMPLETED)


def test_a_signal_that_does_not_come_in_time_fails_the_node_and_is_not_waited_for_again(
    rehearse: Any, plans: Any, at: Any
) -> None:
    run = rehearse(plans.line(for_signal(plans, "wait", "go", iteration_cap=3))).go()

    run.fact(at("wait"), wait_expired=EXPIRED)
    run.lease().go()

    assert run.state is RunState.FAILED
    assert run.ended.cause == instances_pb2.FAILURE_CAUSE_WAIT_TIMED_OUT
    assert run.ended.message == "no signal go came in time"


def test_a_wait_that_missed_its_signal_can_go_back_and_a_later_signal_is_for_its_next_visit(
    rehearse: Any, plans: Any, at: Any
) -> None:
    wait = for_signal(plans, "wait", "go", iteration_cap=3, inject_into="ask")
    run = rehearse(plans.line(plans.node("ask"), wait)).go()

    run.fact(at("wait"), wait_expired=EXPIRED)
    run.signal("go", b'{"late":true}')
    run.lease().go()

    assert run.state is RunState.COMPLETED
    assert run.started == ["ask:1#1", "wait:1#1", "ask:2#1", "wait:2#1"]


def test_a_kept_signal_outlives_an_end_that_can_be_continued(rehearse: Any, plans: Any, failed: Any) -> None:
    run = rehearse(plans.line(plans.node("a"), for_signal(plans, "wait", "go")), a=[failed])
    run.signal("go", b'{"n":1}')
    run.go()
    ended = run.state

    reopened = run.ended.failed
    continued = run_events_pb2.RunContinued(
        answers_sequence=run.head.ended_sequence, reopened=reopened, extra_attempts=1
    )
    run.outside(run_continued=continued)
    run.lease().go()

    assert (ended, run.state) == (RunState.FAILED, RunState.COMPLETED)
    assert outputs(run) == {"wait": b'{"n":1}'}


def test_an_executor_that_took_a_signal_and_was_lost_leaves_the_rest_to_the_next(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(for_signal(plans, "wait", "go"), plans.node("z"))).go()
    run.signal("go", b'{"n":1}')
    run.lease()
    (record,) = decide(run.walk)
    run.append(record.events[0], by_holder=True)

    run.lose().lease().go()

    assert run.state is RunState.COMPLETED
    assert run.kinds().count("fact_taken_up") == 1


@pytest.mark.parametrize("places", list(itertools.combinations_with_replacement(range(10), 2)))
def test_it_does_not_matter_between_which_steps_of_a_walk_signals_arrive(
    rehearse: Any, plans: Any, places: tuple[int, int]
) -> None:
    run = rehearse(plans.line(for_signal(plans, "first", "go"), for_signal(plans, "second", "go")))
    sent = 0
    for step in range(10):
        for _ in range(places.count(step)):
            sent += 1
            run.signal("go", b'{"n":%d}' % sent)
        run.step()

    for _ in range(30):
        run.step()

    assert run.state is RunState.COMPLETED
    assert outputs(run) == {"first": b'{"n":1}', "second": b'{"n":2}'}


def test_the_inbox_is_a_set_a_walk_folded_with_its_facts_first_or_last_takes_the_same(
    rehearse: Any, plans: Any
) -> None:
    run = rehearse(pair(plans))
    run.signal("go", b'{"n":1}')
    run.go()
    run.signal("go", b'{"n":2}')

    def folded(facts_first: bool) -> Walk:
        events = [(sequence, event, holder) for sequence, (event, holder) in enumerate(run.log, 1)]
        facts = [one for one in events if not one[2] and one[1].WhichOneof("kind") in ("fact_content", "fact_recorded")]
        rest = [one for one in events if one not in facts]
        walk = Walk(run.plan)
        for sequence, event, _ in facts + rest if facts_first else events:
            fold_event(walk, event, sequence)
        return walk

    assert [i.events for i in decide(folded(facts_first=True))] == [i.events for i in decide(folded(facts_first=False))]
