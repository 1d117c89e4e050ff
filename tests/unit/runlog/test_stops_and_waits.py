"""Approvals, stops, holds and continuing."""

import itertools
from typing import Any

import pytest

from perdure.runlog.folding import fold_event
from perdure.runlog.head import IllegalEvent, RunHead, Stop, advance
from perdure.runlog.recovery import recovery
from perdure.runlog.states import FINAL, RunState
from perdure.runlog.walk import Walk
from perdure.v1 import (
    approval_facts_pb2,
    decisions_pb2,
    fact_events_pb2,
    instances_pb2,
    plans_pb2,
    run_events_pb2,
    run_states_pb2,
)

AT_MOST_ONCE = instances_pb2.EFFECT_AT_MOST_ONCE
CANCEL, INTERRUPT, DEADLINE = (
    run_events_pb2.STOP_KIND_CANCEL,
    run_events_pb2.STOP_KIND_INTERRUPT,
    run_events_pb2.STOP_KIND_DEADLINE,
)


def gated(plans: Any, **after: Any) -> Any:
    gate = plans.node("gate", approval=plans_pb2.ApprovalNode(prompt="go on?"), **after)
    return plans.line(plans.node("a"), gate, plans.node("b"))


def decision(kind: str = "APPROVED", reason: str = "", visit: int = 1) -> approval_facts_pb2.Decision:
    number = decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{kind}")
    return approval_facts_pb2.Decision(approval_id=f"gate:{visit}#1", kind=number, decider="ada", reason=reason)


def stop(kind: run_events_pb2.StopKind.ValueType) -> run_events_pb2.StopRequested:
    return run_events_pb2.StopRequested(kind=kind)


def test_a_gate_pauses_the_run_and_a_decision_queues_it(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(gated(plans)).go()
    paused = run.state

    run.fact(at("gate"), decision=decision())
    queued = run.state
    run.lease().go()

    assert (paused, queued) == (RunState.PAUSED, RunState.QUEUED)
    assert run.started == ["a:1#1", "gate:1#1", "b:1#1"]
    assert run.state is RunState.COMPLETED


def test_a_rejection_fails_the_run_and_is_never_tried_again(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(gated(plans, iteration_cap=3)).go()

    run.fact(at("gate"), decision=decision("REJECTED", "not today"))
    run.lease().go()

    assert run.state is RunState.FAILED
    assert run.ended.cause == instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED
    assert run.ended.message == "not today"


def test_a_rejection_with_a_target_goes_back_and_asks_anew(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(gated(plans, iteration_cap=3, inject_into="a")).go()

    run.fact(at("gate"), decision=decision("REJECTED", "shorter please"))
    run.lease().go()
    run.fact(at("gate", 2), decision=decision(visit=2))
    run.lease().go()

    assert run.started == ["a:1#1", "gate:1#1", "a:2#1", "gate:2#1", "b:1#1"]
    assert run.state is RunState.COMPLETED


def test_a_gate_nobody_decides_expires_the_run(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(gated(plans)).go()

    run.fact(at("gate"), wait_expired=fact_events_pb2.WaitExpired())
    run.lease().go()

    assert run.state is RunState.EXPIRED
    assert run.ended.cause == instances_pb2.FAILURE_CAUSE_APPROVAL_EXPIRED


@pytest.mark.parametrize(
    ("kind", "state"),
    [(CANCEL, RunState.CANCELLED), (INTERRUPT, RunState.INTERRUPTED), (DEADLINE, RunState.TIMED_OUT)],
)
def test_a_stop_ends_what_runs_and_then_the_run(rehearse: Any, plans: Any, kind: Any, state: RunState) -> None:
    run = rehearse(plans.line(plans.node("a"), plans.node("b"))).go(hold_work=True)

    run.outside(stop_requested=stop(kind))
    run.go()

    assert run.state is state
    assert run.started == ["a:1#1"]


def test_a_stop_after_the_walks_end_comes_too_late(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(plans.node("a"))).go(hold_work=True)
    ok = (instances_pb2.OUTCOME_SUCCEEDED, instances_pb2.FAILURE_CAUSE_UNSPECIFIED, b"")

    run.finish(ok)
    run.outside(stop_requested=stop(INTERRUPT))
    run.go()

    assert run.state is RunState.COMPLETED
    assert run.ended.stop_too_late


def test_stopping_an_effect_leaves_it_in_doubt(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(plans.node("a", effect=AT_MOST_ONCE))).go(hold_work=True)

    run.outside(stop_requested=stop(CANCEL))
    run.go()

    assert run.state is RunState.CANCELLED
    assert run.head.in_doubt == 1


def test_a_cancel_replaces_another_stop_and_nothing_else_does(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(plans.node("a"))).go(hold_work=True)

    run.outside(stop_requested=stop(DEADLINE))
    with pytest.raises(IllegalEvent, match="DEADLINE stands"):
        run.outside(stop_requested=stop(INTERRUPT))
    run.outside(stop_requested=stop(CANCEL))

    assert run.head.stop is Stop.CANCEL


def test_a_hold_lets_work_end_and_pauses_until_it_is_released(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(plans.node("a"), plans.node("b"))).go(hold_work=True)
    cause = fact_events_pb2.HOLD_CAUSE_OPERATOR

    run.fact(hold_placed=fact_events_pb2.HoldPlaced(cause=cause))
    run.go()
    paused = (run.state, list(run.started))
    run.fact(hold_released=fact_events_pb2.HoldReleased(cause=cause))
    queued = run.state
    run.lease().go()

    assert paused == (RunState.PAUSED, ["a:1#1"])
    assert queued is RunState.QUEUED
    assert run.started == ["a:1#1", "b:1#1"]


def test_a_hold_at_a_gate_leaves_the_decision_in_the_inbox(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(gated(plans)).go()
    cause = fact_events_pb2.HOLD_CAUSE_OPERATOR

    run.fact(hold_placed=fact_events_pb2.HoldPlaced(cause=cause))
    run.fact(at("gate"), decision=decision())
    held = run.state
    run.fact(hold_released=fact_events_pb2.HoldReleased(cause=cause))
    run.lease().go()

    assert held is RunState.PAUSED
    assert run.state is RunState.COMPLETED


def test_an_interrupted_run_goes_on_with_new_attempts_and_a_new_question(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(gated(plans)).go()
    run.outside(run_ended=run_events_pb2.RunEnded(state=run_states_pb2.RUN_STATE_INTERRUPTED))

    run.outside(run_continued=run_events_pb2.RunContinued(answers_sequence=run.head.ended_sequence))
    run.lease().go()

    assert run.started == ["a:1#1", "gate:1#1", "gate:1#2"]
    assert run.state is RunState.PAUSED
    assert list(run.walk.waits) == [at("gate", 1, 2)]


def test_a_failed_run_goes_on_where_an_attempt_is_opened_again(rehearse: Any, plans: Any, failed: Any, at: Any) -> None:
    run = rehearse(plans.line(plans.node("a", iteration_cap=1), plans.node("b")), a=[failed]).go()
    needed = recovery("r", run.head, run.walk, now=0)

    continued = run_events_pb2.RunContinued(
        answers_sequence=run.head.ended_sequence, reopened=at("a").message(), extra_attempts=1
    )
    run.outside(run_continued=continued)
    run.lease().go()

    assert (needed.can_continue, needed.needs, needed.reopens) == (True, ("reopen",), at("a"))
    assert run.started == ["a:1#1", "a:1#2", "b:1#1"]
    assert run.state is RunState.COMPLETED


def test_a_continue_answers_the_end_that_there_is(rehearse: Any, plans: Any, failed: Any) -> None:
    run = rehearse(plans.line(plans.node("a", iteration_cap=1)), a=[failed]).go()

    with pytest.raises(IllegalEvent):
        run.outside(run_continued=run_events_pb2.RunContinued(answers_sequence=1))

    assert run.state is RunState.FAILED


@pytest.mark.parametrize("final", sorted(FINAL))
def test_a_final_run_is_never_continued(rehearse: Any, plans: Any, final: RunState) -> None:
    run = rehearse(plans.line(plans.node("a")))
    if final is RunState.CANCELLED:
        run.outside(stop_requested=run_events_pb2.StopRequested(kind=run_events_pb2.STOP_KIND_CANCEL))
    run.go()
    assert run.state is final

    with pytest.raises(IllegalEvent):
        run.outside(run_continued=run_events_pb2.RunContinued(answers_sequence=run.head.ended_sequence))


def test_a_refused_event_leaves_the_head_as_it_was(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(plans.node("a"))).go(hold_work=True)
    before = run.head.copy()

    for illegal in (
        {"run_ended": run_events_pb2.RunEnded(state=run_states_pb2.RUN_STATE_QUEUED)},
        {"run_continued": run_events_pb2.RunContinued(answers_sequence=1)},
        {"lease_granted": run_events_pb2.LeaseGranted(lease_id="z", epoch=2)},
        {"lease_revoked": run_events_pb2.LeaseRevoked(lease_id="another", epoch=2)},
    ):
        with pytest.raises(IllegalEvent):
            run.outside(**illegal)

    assert run.head == before


def test_how_facts_interleave_with_the_walk_does_not_matter(rehearse: Any, plans: Any, at: Any) -> None:
    nodes = [plans.node("a"), plans.node("gate", approval=plans_pb2.ApprovalNode(prompt="?")), plans.node("c")]
    plan = plans.graph(nodes, [])
    whole = rehearse(plan).go(hold_work=True)
    whole.fact(at("gate"), decision=decision())
    whole.fact(hold_placed=fact_events_pb2.HoldPlaced(cause=fact_events_pb2.HOLD_CAUSE_OPERATOR))
    whole.go()
    opened = next(index for index, (event, _) in enumerate(whole.log) if event.HasField("wait_opened"))
    head, tail = whole.log[: opened + 1], whole.log[opened + 1 :]
    walk_events = [entry for entry in tail if entry[1]]
    facts = [entry for entry in tail if not entry[1]]

    ends = []
    for places in itertools.combinations_with_replacement(range(len(walk_events)), len(facts)):
        order = list(walk_events)
        for offset, (place, fact) in enumerate(zip(places, facts, strict=True)):
            order.insert(place + offset, fact)
        walk = Walk(plan)
        for sequence, (event, _) in enumerate([*head, *order], start=1):
            fold_event(walk, event, sequence)
        ends.append({name: (state.phase, state.attempt) for name, state in walk.nodes.items()})

    assert len(ends) > 3
    assert all(end == ends[0] for end in ends)


def test_an_unknown_control_event_is_refused_and_unknown_data_is_passed_over() -> None:
    from perdure.v1.run_events_pb2 import RunEvent

    head = RunHead()
    control, data = RunEvent.FromString(b"\x62\x00"), RunEvent.FromString(b"\xc2\x0c\x00")

    with pytest.raises(IllegalEvent, match="does not know"):
        advance(head, control, 0, by_holder=True)
    advance(head, data, 0, by_holder=True)

    assert head.last_sequence == 1
