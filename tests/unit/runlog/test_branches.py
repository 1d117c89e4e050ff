"""Branches that are walked side by side: what each sees of the other, and what a jump over both does."""

import json
from typing import Any

import pytest

from perdure.runlog.bindings import bindings
from perdure.runlog.instances import instance
from perdure.runlog.interpreter import decide
from perdure.runlog.states import RunState
from perdure.v1 import approval_facts_pb2, decisions_pb2, fact_events_pb2, instances_pb2, plans_pb2, run_events_pb2

AT_MOST_ONCE = instances_pb2.EFFECT_AT_MOST_ONCE
FORK = [("start", "left"), ("start", "right"), ("left", "join"), ("right", "join")]
OK = (instances_pb2.OUTCOME_SUCCEEDED, instances_pb2.FAILURE_CAUSE_UNSPECIFIED, b"")


def says(**output: Any) -> Any:
    return (*OK[:2], json.dumps(output).encode())


def gate(plans: Any, name: str, **fields: Any) -> plans_pb2.PlanNode:
    node: plans_pb2.PlanNode = plans.node(name, approval=plans_pb2.ApprovalNode(), **fields)
    return node


def decided(run: Any, where: Any, kind: str, reason: str = "") -> None:
    number = decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{kind}")
    decision = approval_facts_pb2.Decision(approval_id=str(where), kind=number, decider="ada", reason=reason)
    run.fact(where, decision=decision)


@pytest.fixture
def fork(plans: Any) -> Any:
    """A plan of two branches; each node may be given, or is a plain one."""

    def make(steps: Any = FORK, **given: Any) -> Any:
        names = list(dict.fromkeys(name for step in steps for name in step))
        return plans.graph([given.get(name) or plans.node(name) for name in names], steps)

    return make


def test_of_branches_that_meet_the_one_whose_step_is_declared_later_counts(rehearse: Any, fork: Any, at: Any) -> None:
    both = {"left": [says(who="left")], "right": [says(who="right")]}
    for steps, wins in ((FORK, "right"), ([*FORK[:2], FORK[3], FORK[2]], "left")):
        run = rehearse(fork(steps), **{name: list(played) for name, played in both.items()}).go()

        assert bindings(run.walk, at("join"))["who"] == wins


def test_what_a_branch_says_counts_more_than_what_was_said_before_both(rehearse: Any, fork: Any, at: Any) -> None:
    run = rehearse(fork(), start=[says(who="start")], left=[says(who="left")]).go()

    assert bindings(run.walk, at("join"))["who"] == "left"


def test_a_longer_branch_is_merged_whole_before_the_next(rehearse: Any, fork: Any, at: Any) -> None:
    steps = [("start", "left"), ("start", "right"), ("left", "last"), ("last", "join"), ("right", "join")]
    run = rehearse(fork(steps), last=[says(who="last")], right=[says(who="right")]).go()

    assert bindings(run.walk, at("join"))["who"] == "right"


def test_a_node_sees_nothing_of_the_other_branch(rehearse: Any, fork: Any, plans: Any, at: Any, failed: Any) -> None:
    run = rehearse(fork(left=plans.node("left", iteration_cap=3)), start=[says(a=1)]).go(hold_work=True)

    run.finish(says(a=1)).go(hold_work=True)
    run.finish(failed).go(hold_work=True)
    left, right = bindings(run.walk, at("left", 1, 2)), bindings(run.walk, at("right"))
    run.go()

    assert left["last_error"] == {"node": "left", "cause": "FUNCTION_RAISED", "message": "as played"}
    assert right["last_error"] is None
    assert set(right["nodes"]) == {"start"}


def test_a_decision_is_known_behind_its_hold_point_and_not_beside_it(
    rehearse: Any, fork: Any, plans: Any, at: Any
) -> None:
    run = rehearse(fork(left=gate(plans, "left"))).go(hold_work=True)
    run.finish(OK).go(hold_work=True)
    decided(run, at("left"), "APPROVED", "fine")
    run.go(hold_work=True)

    assert bindings(run.walk, at("right"))["last_approval"] is None
    run.go()
    assert bindings(run.walk, at("join"))["last_approval"] == {
        "decision": "approved",
        "decider": "ada",
        "decided_at": "1970-01-01T00:00:00Z",
        "reason": "fine",
    }


def test_what_is_walked_again_sees_why_the_walk_went_back_and_what_comes_behind_does_not(
    rehearse: Any, fork: Any, plans: Any, at: Any, failed: Any
) -> None:
    run = rehearse(fork(left=plans.node("left", inject_into="start", iteration_cap=3)), left=[failed]).go()

    assert run.state is RunState.COMPLETED
    for node in ("start", "right"):
        assert bindings(run.walk, at(node, 2))["last_error"]["node"] == "left"
    assert bindings(run.walk, at("join"))["last_error"] is None


def test_a_hold_point_that_the_walk_goes_back_over_is_closed_and_asks_again(
    rehearse: Any, fork: Any, plans: Any, at: Any, failed: Any
) -> None:
    back = plans.node("left", inject_into="start", iteration_cap=3)
    run = rehearse(fork(left=back, right=gate(plans, "right")), left=[failed]).go(hold_work=True)

    run.go()
    closed = [event.wait_closed.instance.path[-1].node for event, _ in run.log if event.HasField("wait_closed")]
    decided(run, at("right", 2), "APPROVED")
    run.lease().go()

    assert closed == ["right"]
    assert [started for started in run.started if "right" in started] == ["right:1#1", "right:2#1"]
    assert run.state is RunState.COMPLETED


def test_a_decision_that_came_as_the_walk_went_back_has_no_effect(
    rehearse: Any, fork: Any, plans: Any, at: Any, failed: Any
) -> None:
    back = plans.node("left", inject_into="start", iteration_cap=3)
    plan = fork(left=back, right=gate(plans, "right"))
    run = rehearse(plan).go(hold_work=True)
    run.finish(OK).go(hold_work=True)
    run.finish(failed)
    begun = [event for intent in decide(run.walk) for event in intent.events]

    run.append(begun[0], by_holder=True)
    decided(run, at("right"), "REJECTED")
    run.go()

    assert begun[0].HasField("jump_begun")
    assert "wait_closed" not in run.kinds()
    assert run.state is RunState.PAUSED
    decided(run, at("right", 2), "APPROVED")
    assert run.lease().go().state is RunState.COMPLETED


@pytest.mark.parametrize("answer", ["DONE", "RETRY", "FAILED"])
def test_the_walk_goes_back_over_an_effect_in_doubt_when_somebody_has_said_what_became_of_it(
    rehearse: Any, fork: Any, plans: Any, at: Any, failed: Any, answer: str
) -> None:
    back = plans.node("left", inject_into="start", iteration_cap=3)
    run = rehearse(fork(left=back, right=plans.node("right", effect=AT_MOST_ONCE))).go(hold_work=True)
    run.finish(OK).go(hold_work=True)
    run.finish(failed).go(hold_work=True)

    run.lose()
    held = run.state
    kind = fact_events_pb2.ResolutionKind.Value(f"RESOLUTION_KIND_{answer}")
    run.fact(at("right"), resolution=fact_events_pb2.EffectResolution(kind=kind))
    run.lease().go()

    outcomes = [event.node_settled.outcome for event, _ in run.log if event.node_settled.resolution_sequence]
    assert held is RunState.PAUSED
    assert outcomes == [instances_pb2.OUTCOME_JUMPED_OVER]
    assert [started for started in run.started if "right" in started] == ["right:1#1", "right:2#1"]
    assert run.state is RunState.COMPLETED


def test_two_effects_in_doubt_are_both_answered_before_either_branch_goes_on(
    rehearse: Any, fork: Any, plans: Any, at: Any
) -> None:
    once = {name: plans.node(name, effect=AT_MOST_ONCE) for name in ("left", "right")}
    run = rehearse(fork(**once)).go(hold_work=True)
    run.finish(OK).go(hold_work=True)
    retry = fact_events_pb2.EffectResolution(kind=fact_events_pb2.RESOLUTION_KIND_RETRY)

    run.lose()
    run.fact(at("left"), resolution=retry)
    after_one = run.state
    run.fact(at("right"), resolution=retry)
    run.lease().go()

    assert after_one is RunState.PAUSED
    assert run.started[-3:] == ["left:1#2", "right:1#2", "join:1#1"]
    assert run.state is RunState.COMPLETED


def test_a_hold_that_came_before_the_end_leaves_the_end_to_be_done(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(plans.node("a"))).go(hold_work=True)
    run.fact(hold_placed=fact_events_pb2.HoldPlaced(cause=fact_events_pb2.HOLD_CAUSE_OPERATOR))

    run.go()
    held = run.state
    run.fact(hold_released=fact_events_pb2.HoldReleased(cause=fact_events_pb2.HOLD_CAUSE_OPERATOR))
    released = run.state
    run.lease().go()

    assert (held, released, run.state) == (RunState.PAUSED, RunState.QUEUED, RunState.COMPLETED)


@pytest.mark.parametrize("order", [["left", "right"], ["right", "left"]])
def test_where_one_branch_has_failed_for_good_another_does_not_go_back_any_more(
    rehearse: Any, fork: Any, plans: Any, failed: Any, order: list[str]
) -> None:
    back = plans.node("right", inject_into="start", iteration_cap=3)
    steps = [("start", order[0]), ("start", order[1]), (order[0], "join"), (order[1], "join")]
    run = rehearse(fork(steps, left=plans.node("left"), right=back)).go(hold_work=True)
    run.finish(OK).go(hold_work=True)

    run.finish(failed, order.index("left")).go(hold_work=True)
    run.finish(failed).go()

    assert "jump_begun" not in run.kinds()
    assert (run.state, run.ended.failed.path[-1].node) == (RunState.FAILED, "left")


def test_two_branches_that_failed_are_opened_again_one_after_the_other_and_then_both_are_done(
    rehearse: Any, fork: Any, at: Any, failed: Any
) -> None:
    run = rehearse(fork()).go(hold_work=True)
    run.finish(OK).go(hold_work=True)
    run.finish(failed).finish(failed).go()

    _continue(run, at("left"))
    run.lease().go()
    ended_at_once = str(instance(run.ended.failed))
    _continue(run, at("right"))
    run.lease().go()

    assert ended_at_once == "right:1#1"
    assert run.started[-3:] == ["left:1#2", "right:1#2", "join:1#1"]
    assert run.state is RunState.COMPLETED


def _continue(run: Any, failed: Any) -> None:
    continued = run_events_pb2.RunContinued(
        answers_sequence=run.head.ended_sequence, reopened=failed.message(), extra_attempts=1
    )
    run.outside(run_continued=continued)
