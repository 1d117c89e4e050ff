"""What follows what: order, attempts, caps, jumps."""

from collections.abc import Callable
from typing import Any

import pytest

from perdure.runlog.states import RunState
from perdure.v1 import instances_pb2, plans_pb2

AT_MOST_ONCE = instances_pb2.EFFECT_AT_MOST_ONCE


def test_nodes_of_a_line_run_one_after_the_other(rehearse: Any, plans: Any) -> None:
    run = rehearse(plans.line(*(plans.node(name) for name in "abc"))).go()

    assert run.started == ["a:1#1", "b:1#1", "c:1#1"]
    assert run.state is RunState.COMPLETED


def test_a_node_waits_for_everything_before_it(rehearse: Any, plans: Any) -> None:
    nodes = [plans.node(name) for name in ("start", "left", "right", "join")]
    steps = [("start", "left"), ("start", "right"), ("left", "join"), ("right", "join")]
    run = rehearse(plans.graph(nodes, steps)).go(hold_work=True)

    run.finish(_ok()).go(hold_work=True)
    both = [start.node.id for start in run.running]
    run.finish(_ok()).go(hold_work=True)
    after_one = [start.node.id for start in run.running]
    run.go()

    assert both == ["left", "right"]
    assert after_one == ["right"]
    assert run.started[-1] == "join:1#1"
    assert run.state is RunState.COMPLETED


def test_a_failure_is_tried_again_up_to_its_cap(rehearse: Any, plans: Any, failed: Any) -> None:
    run = rehearse(plans.line(plans.node("a", iteration_cap=3)), a=[failed] * 5).go()

    assert run.started == ["a:1#1", "a:1#2", "a:1#3"]
    assert run.state is RunState.FAILED
    assert run.ended.cause == instances_pb2.FAILURE_CAUSE_ITERATION_CAP_EXCEEDED
    assert run.ended.node_cause == instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED


def test_a_cap_of_zero_tries_once(rehearse: Any, plans: Any, failed: Any) -> None:
    run = rehearse(plans.line(plans.node("a", iteration_cap=0)), a=[failed]).go()

    assert run.started == ["a:1#1"]
    assert run.ended.cause == instances_pb2.FAILURE_CAUSE_ITERATION_CAP_EXCEEDED


def test_without_a_cap_the_first_failure_is_final_and_keeps_its_own_cause(
    rehearse: Any, plans: Any, failed: Any
) -> None:
    run = rehearse(plans.line(plans.node("a", effect=AT_MOST_ONCE)), a=[failed]).go()

    assert run.started == ["a:1#1"]
    assert run.ended.cause == instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED


def test_a_success_makes_the_count_of_failures_begin_again(rehearse: Any, plans: Any, failed: Any) -> None:
    plan = plans.line(plans.node("a", iteration_cap=2), plans.node("b", iteration_cap=3, inject_into="a"))
    run = rehearse(plan, a=[failed, _ok(), failed, _ok()], b=[failed, _ok()]).go()

    assert run.state is RunState.COMPLETED
    assert run.started == ["a:1#1", "a:1#2", "b:1#1", "a:2#1", "a:2#2", "b:2#1"]


def test_a_failure_with_a_target_goes_back_there_at_once(rehearse: Any, plans: Any, failed: Any) -> None:
    plan = plans.line(plans.node("a"), plans.node("b"), plans.node("c", iteration_cap=3, inject_into="a"))
    run = rehearse(plan, c=[failed, _ok()]).go()

    assert run.started == ["a:1#1", "b:1#1", "c:1#1", "a:2#1", "b:2#1", "c:2#1"]
    begun = next(event.jump_begun for event, _ in run.log if event.HasField("jump_begun"))
    assert (begun.target, list(begun.region)) == ("a", ["a", "b", "c"])


def test_going_back_ends_at_the_nodes_cap(rehearse: Any, plans: Any, failed: Any) -> None:
    plan = plans.line(plans.node("a"), plans.node("b", iteration_cap=2, inject_into="a"))
    run = rehearse(plan, b=[failed] * 9).go()

    assert run.started == ["a:1#1", "b:1#1", "a:2#1", "b:2#1"]
    assert run.ended.cause == instances_pb2.FAILURE_CAUSE_ITERATION_CAP_EXCEEDED


def test_two_nodes_that_send_each_other_back_end_at_the_runs_limit(rehearse: Any, plans: Any, failed: Any) -> None:
    plan = plans.line(
        plans.node("a"),
        plans.node("b", iteration_cap=10, inject_into="a"),
        plans.node("c", iteration_cap=10, inject_into="a"),
        jump_limit=4,
    )
    run = rehearse(plan, c=[failed] * 50).go()

    assert run.kinds().count("jumped") == 4
    assert run.ended.cause == instances_pb2.FAILURE_CAUSE_JUMP_LIMIT_EXCEEDED
    assert run.state is RunState.FAILED


@pytest.mark.parametrize("cause", ["FUNCTION_UNKNOWN", "PROVIDER_NOT_CONFIGURED", "NOT_STARTED", "EXPRESSION"])
def test_what_another_attempt_would_only_meet_again_is_not_tried_again(rehearse: Any, plans: Any, cause: str) -> None:
    number = instances_pb2.FailureCause.Value(f"FAILURE_CAUSE_{cause}")
    unknown = (instances_pb2.OUTCOME_FAILED, number, b"")
    run = rehearse(plans.line(plans.node("a", iteration_cap=3)), a=[unknown] * 3).go()

    assert run.started == ["a:1#1"]
    assert run.ended.cause == number


@pytest.mark.parametrize("cause", ["NOT_STARTED", "EXPRESSION"])
def test_what_an_earlier_node_may_mend_goes_back_there(rehearse: Any, plans: Any, cause: str) -> None:
    missing = (instances_pb2.OUTCOME_FAILED, instances_pb2.FailureCause.Value(f"FAILURE_CAUSE_{cause}"), b"")
    plan = plans.line(plans.node("a"), plans.node("b", iteration_cap=2, inject_into="a"))
    run = rehearse(plan, b=[missing, _ok()]).go()

    assert run.started == ["a:1#1", "b:1#1", "a:2#1", "b:2#1"]
    assert run.state is RunState.COMPLETED


def test_a_failing_branch_lets_the_other_end_and_begins_nothing_more(rehearse: Any, plans: Any, failed: Any) -> None:
    nodes = [plans.node("start"), plans.node("left", effect=AT_MOST_ONCE), plans.node("right"), plans.node("after")]
    plan = plans.graph(nodes, [("start", "left"), ("start", "right"), ("right", "after")])
    run = rehearse(plan).go(hold_work=True)

    run.finish(_ok()).go(hold_work=True)
    run.finish(failed).go(hold_work=True)
    still_running = [start.node.id for start in run.running]
    run.go()

    assert still_running == ["right"]
    assert "after:1#1" not in run.started
    assert run.state is RunState.FAILED


def test_a_plan_without_nodes_completes_at_once(rehearse: Callable[..., Any], plans: Any) -> None:
    run = rehearse(plans.line()).go()

    assert run.kinds() == ["run_created", "lease_granted", "run_ended"]


def test_a_retry_takes_the_back_off_that_was_drawn_when_it_failed(rehearse: Any, plans: Any) -> None:
    from perdure.runlog.intents import Start
    from perdure.runlog.interpreter import decide
    from perdure.v1 import node_events_pb2

    run = rehearse(plans.line(plans.node("a", iteration_cap=2))).go(hold_work=True)
    start = run.running.pop()
    settled = node_events_pb2.NodeSettled(
        instance=start.instance.message(),
        effect=start.node.effect,
        outcome=instances_pb2.OUTCOME_FAILED,
        cause=instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED,
    )
    settled.retry_delay.FromMicroseconds(1_500_000)
    run.holder(node_settled=settled)

    (again,) = decide(run.walk)

    assert isinstance(again, Start)
    assert again.delay == 1.5
    assert isinstance(again.node, plans_pb2.PlanNode)


def _ok() -> Any:
    return (instances_pb2.OUTCOME_SUCCEEDED, instances_pb2.FAILURE_CAUSE_UNSPECIFIED, b"")
