"""What a lost executor leaves behind, and how the run goes on."""

from typing import Any

import pytest

from perdure.runlog.folding import fold_event
from perdure.runlog.head import RunHead, advance
from perdure.runlog.interpreter import decide
from perdure.runlog.node_walk import Phase
from perdure.runlog.states import RunState
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, instances_pb2

AT_MOST_ONCE = instances_pb2.EFFECT_AT_MOST_ONCE
DONE, RETRY, FAILED = (
    fact_events_pb2.RESOLUTION_KIND_DONE,
    fact_events_pb2.RESOLUTION_KIND_RETRY,
    fact_events_pb2.RESOLUTION_KIND_FAILED,
)


@pytest.mark.parametrize("effect", [instances_pb2.EFFECT_NONE, instances_pb2.EFFECT_IDEMPOTENT])
def test_repeatable_work_runs_again_as_the_same_attempt(rehearse: Any, plans: Any, effect: Any) -> None:
    run = rehearse(plans.line(plans.node("a", effect=effect), plans.node("b"))).go(hold_work=True)

    run.lose()
    queued = run.state
    run.lease().go()

    assert queued is RunState.QUEUED
    assert run.started == ["a:1#1", "a:1#1", "b:1#1"]
    assert run.state is RunState.COMPLETED


def test_work_that_may_not_be_repeated_holds_the_run(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(plans.node("a", effect=AT_MOST_ONCE))).go(hold_work=True)

    run.lose()

    assert run.state is RunState.PAUSED
    assert run.head.in_doubt == 1
    assert run.walk.nodes["a"].phase is Phase.IN_DOUBT


def test_an_effect_resolved_as_done_gives_its_output_to_what_follows(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.line(plans.node("a", effect=AT_MOST_ONCE), plans.node("b"))).go(hold_work=True).lose()

    run.outside(fact_content=fact_events_pb2.FactContent(instance=at("a").message(), json=b'{"sent":1}'))
    run.fact(at("a"), resolution=fact_events_pb2.EffectResolution(kind=DONE))
    queued = run.state
    run.lease().go()

    assert queued is RunState.QUEUED
    assert run.started == ["a:1#1", "b:1#1"]
    assert run.walk.nodes["a"].output == b'{"sent":1}'
    assert (run.state, run.head.open_effects, run.head.resolved_effects) == (RunState.COMPLETED, 0, 0)


def test_an_effect_resolved_as_failed_fails_its_node(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.line(plans.node("a", effect=AT_MOST_ONCE))).go(hold_work=True).lose()

    run.fact(at("a"), resolution=fact_events_pb2.EffectResolution(kind=FAILED, reason="it bounced"))
    run.lease().go()

    assert run.state is RunState.FAILED
    assert run.ended.cause == instances_pb2.FAILURE_CAUSE_RESOLVED_FAILED


def test_an_effect_to_be_tried_again_is_a_new_attempt_with_a_new_redo(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.line(plans.node("a", effect=AT_MOST_ONCE))).go(hold_work=True).lose()
    before = run.walk.redos("a")

    run.fact(at("a"), resolution=fact_events_pb2.EffectResolution(kind=RETRY))
    run.lease().go()

    assert run.started == ["a:1#1", "a:1#2"]
    assert (before, run.walk.redos("a")) == ((0,), (1,))
    assert (run.state, run.head.open_effects, run.head.resolved_effects) == (RunState.COMPLETED, 0, 0)


def test_an_answer_survives_the_loss_of_the_executor_that_was_to_act_on_it(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.line(plans.node("a", effect=AT_MOST_ONCE))).go(hold_work=True).lose()
    run.fact(at("a"), resolution=fact_events_pb2.EffectResolution(kind=RETRY))

    run.lease().lose()
    queued = run.state
    run.lease().go()

    assert queued is RunState.QUEUED
    assert run.started == ["a:1#1", "a:1#2"]
    assert run.state is RunState.COMPLETED


def test_a_report_that_comes_before_the_retry_begins_voids_the_answer(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.line(plans.node("a", effect=AT_MOST_ONCE))).go(hold_work=True).lose()
    run.fact(at("a"), resolution=fact_events_pb2.EffectResolution(kind=RETRY))

    report = fact_events_pb2.LateReported(outcome=instances_pb2.OUTCOME_SUCCEEDED, reopens_doubt=True)
    sequence = run.fact(at("a"), late_report=report)

    assert run.state is RunState.PAUSED
    assert run.walk.held
    assert run.walk.doubts[at("a")].report_sequence == sequence


def test_output_of_a_lost_execution_is_not_the_output_of_the_next(rehearse: Any, plans: Any, at: Any) -> None:
    from perdure.v1 import node_events_pb2

    run = rehearse(plans.line(plans.node("a"), plans.node("b"))).go(hold_work=True)
    run.holder(node_output=node_events_pb2.NodeOutput(instance=at("a").message(), json=b'{"half":1}'))

    run.lose().lease().go()

    assert run.walk.nodes["a"].output == b""


def test_every_prefix_of_a_holders_events_leads_to_the_same_end(
    rehearse: Any, plans: Any, failed: Any, at: Any
) -> None:
    def plan() -> Any:
        return plans.line(
            plans.node("a"), plans.node("b", iteration_cap=3, inject_into="a"), plans.node("c", iteration_cap=2)
        )

    whole = rehearse(plan(), b=[failed], c=[failed]).go()
    first = 2
    for cut in range(first, len(whole.log) - 1):
        run = rehearse(plan())
        for event, by_holder in whole.log[first:cut]:
            assert by_holder
            run.append(event, by_holder=True)

        run.lose().lease()
        # What had failed before the cut fails no more: the outcomes are played once.
        run.go()

        assert run.state is RunState.COMPLETED, f"cut after {cut}"
        assert decide(run.walk) == []


def test_folding_a_log_gives_the_head_and_walk_that_wrote_it(rehearse: Any, plans: Any, failed: Any) -> None:
    run = rehearse(plans.line(plans.node("a", iteration_cap=2), plans.node("b")), a=[failed]).go()

    head, walk = RunHead(), Walk(run.plan)
    for sequence, (event, by_holder) in enumerate(run.log, start=1):
        advance(head, event, 0, by_holder=by_holder)
        fold_event(walk, event, sequence)

    assert head == run.head
    assert walk == run.walk
