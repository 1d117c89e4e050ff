"""One node for every item of a list."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.runlog.effects import idempotency_key
from perdure.runlog.instances import parse_instance
from perdure.runlog.plans import WalkPlan
from perdure.runlog.states import RunState
from perdure.v1 import (
    approval_facts_pb2,
    decisions_pb2,
    fact_events_pb2,
    instances_pb2,
    node_events_pb2,
    plans_pb2,
    run_events_pb2,
)
from perdure.v1.run_events_pb2 import RunEvent
from tests.unit.runlog.conftest import OK, Played, Rehearsal
from tests.unit.runlog.graphs import Disorder, graphs

Rehearse = Callable[..., Rehearsal]
AT_MOST_ONCE = instances_pb2.EFFECT_AT_MOST_ONCE


def gives(number: int) -> Played:
    return OK[0], OK[1], json.dumps({"n": number}).encode()


@pytest.fixture
def mapped(plans: Any) -> Callable[..., WalkPlan]:
    """A node, a map after it, and a node after that."""

    def made(
        max_parallel: int = 2,
        tolerated: int | None = 0,
        fields: dict[str, Any] | None = None,
        **inside: Any,
    ) -> WalkPlan:
        item = plans.node("fan", function=plans_pb2.FunctionNode(function="f"), **inside)
        over = plans_pb2.MapNode(items="list", node=item, max_parallel=max_parallel, tolerated_failures=tolerated)
        fan = plans.node("fan", map=over, **(fields or {}))
        graph: WalkPlan = plans.graph(
            [plans.node("first"), fan, plans.node("last")], [("first", "fan"), ("fan", "last")]
        )
        return graph

    return made


def at_map(rehearsal: Rehearsal) -> Rehearsal:
    """Walks to where the first items are under way."""
    return rehearsal.go(hold_work=True).finish(OK).go(hold_work=True)


def under_way(rehearsal: Rehearsal) -> list[str]:
    return [str(start.instance) for start in rehearsal.running]


def result(rehearsal: Rehearsal) -> Any:
    outputs = [event.node_output for event, _ in rehearsal.log if event.HasField("node_output")]
    return json.loads(outputs[-1].json)


def test_so_many_items_as_are_allowed_are_under_way_and_results_stand_in_the_order_of_the_list(
    rehearse: Rehearse, mapped: Any
) -> None:
    run = at_map(rehearse(mapped(max_parallel=2)))

    assert under_way(run) == ["fan[0]:1#1", "fan[1]:1#1"]
    run.finish(gives(1), 1).go(hold_work=True)
    assert under_way(run) == ["fan[0]:1#1", "fan[2]:1#1"]
    run.finish(gives(2), 1).go(hold_work=True).finish(gives(0)).go()

    assert run.state is RunState.COMPLETED
    assert result(run) == {"results": [{"n": 0}, {"n": 1}, {"n": 2}], "errors": []}


def test_a_map_over_nothing_succeeds_at_once(rehearse: Rehearse, mapped: Any) -> None:
    run = rehearse(mapped())
    run.items = 0
    run.go()

    assert run.state is RunState.COMPLETED
    assert result(run) == {"results": [], "errors": []}


def test_the_first_item_that_fails_for_good_lets_what_runs_end_and_fails_the_map(
    rehearse: Rehearse, mapped: Any, failed: Played
) -> None:
    run = at_map(rehearse(mapped(iteration_cap=2)))

    run.finish(failed, 1).go(hold_work=True)
    assert under_way(run) == ["fan[0]:1#1", "fan[1]:1#2"]
    run.finish(failed, 1).go(hold_work=True)
    assert under_way(run) == ["fan[0]:1#1"]
    run.finish(OK).go()

    assert (run.state, run.ended.cause) == (RunState.FAILED, instances_pb2.FAILURE_CAUSE_ITEM_FAILED)
    assert run.ended.message == "fan[1]:1#2 failed: FUNCTION_RAISED: as played"
    assert "fan[2]:1#1" not in run.started


@pytest.mark.parametrize("backoff", [0.0, 60.0])
def test_an_item_that_would_be_tried_again_is_not_where_its_map_fails(
    rehearse: Rehearse, mapped: Any, failed: Played, backoff: float
) -> None:
    run = at_map(rehearse(mapped(max_parallel=3, iteration_cap=2)))

    run.finish(failed, 0).go(hold_work=True).finish(failed, 2)  # the second attempt of the first item fails, too
    run.finish(failed, 0, backoff=backoff).finish(OK).go(hold_work=True)

    assert (run.state, run.ended.cause) == (RunState.FAILED, instances_pb2.FAILURE_CAUSE_ITEM_FAILED)
    assert "fan[1]:1#2" not in run.started
    assert run.head.open_waits == 0


def test_a_long_back_off_of_an_item_is_a_wait_of_the_run_that_the_maps_failure_closes(
    rehearse: Rehearse, mapped: Any, failed: Played
) -> None:
    run = at_map(rehearse(mapped(max_parallel=2, iteration_cap=2)))

    run.finish(failed, 0, backoff=60.0).go(hold_work=True).finish(failed, 0).go(hold_work=True).finish(failed, 0).go()

    assert run.kinds()[-3:] == ["wait_closed", "node_settled", "run_ended"]
    assert run.state is RunState.FAILED


def test_a_run_whose_items_all_back_off_is_held_by_nobody(rehearse: Rehearse, mapped: Any, failed: Played) -> None:
    run = at_map(rehearse(mapped(max_parallel=1, iteration_cap=2)))

    run.finish(failed, 0, backoff=60.0).go()
    assert run.state is RunState.PAUSED
    run.pass_backoff(parse_instance("fan[0]:1#1"))
    run.lease().go()

    assert run.state is RunState.COMPLETED


def test_people_are_asked_for_items_and_asked_no_more_where_the_map_fails(rehearse: Rehearse, plans: Any) -> None:
    ask = plans.node("fan", approval=plans_pb2.ApprovalNode())
    over = plans_pb2.MapNode(items="list", node=ask, max_parallel=3, tolerated_failures=0)
    run = rehearse(plans.line(plans.node("fan", map=over))).go()
    assert (run.state, run.head.open_waits) == (RunState.PAUSED, 3)

    first, second, third = (parse_instance(f"fan[{item}]:1#1") for item in range(3))
    approved, rejected = decisions_pb2.DECISION_KIND_APPROVED, decisions_pb2.DECISION_KIND_REJECTED
    run.fact(second, decision=approval_facts_pb2.Decision(approval_id=str(second), kind=approved, decider="a"))
    run.lease().go()
    assert run.state is RunState.PAUSED
    run.fact(first, decision=approval_facts_pb2.Decision(approval_id=str(first), kind=rejected, decider="a"))
    run.lease().go()

    assert (run.state, run.ended.cause) == (RunState.FAILED, instances_pb2.FAILURE_CAUSE_ITEM_FAILED)
    closed = [event.wait_closed.instance for event, _ in run.log if event.HasField("wait_closed")]
    assert closed == [third.message()]


def test_failures_that_are_tolerated_are_told_beside_the_results(
    rehearse: Rehearse, mapped: Any, failed: Played
) -> None:
    run = rehearse(mapped(tolerated=1), fan=[gives(0), failed, gives(2)]).go()

    assert run.state is RunState.COMPLETED
    told = {"index": 1, "cause": "FUNCTION_RAISED", "message": "as played"}
    assert result(run) == {"results": [{"n": 0}, None, {"n": 2}], "errors": [told]}


@pytest.mark.parametrize(("tolerated", "state"), [(1, RunState.FAILED), (None, RunState.COMPLETED)])
def test_more_failures_than_are_tolerated_fail_the_map(
    rehearse: Rehearse, mapped: Any, failed: Played, tolerated: int | None, state: RunState
) -> None:
    assert rehearse(mapped(tolerated=tolerated), fan=[failed, failed]).go().state is state


def test_after_a_lost_executor_only_what_was_under_way_is_done_again(rehearse: Rehearse, mapped: Any) -> None:
    run = at_map(rehearse(mapped(max_parallel=2))).finish(gives(0)).go(hold_work=True)
    assert under_way(run) == ["fan[1]:1#1", "fan[2]:1#1"]

    run.lose().lease().go()

    assert run.state is RunState.COMPLETED
    assert run.started.count("fan[0]:1#1") == 1
    assert [run.started.count(f"fan[{item}]:1#1") for item in (1, 2)] == [2, 2]
    assert run.kinds().count("map_begun") == 1


def test_an_effect_of_an_item_is_in_doubt_alone_and_has_a_key_of_its_own(rehearse: Rehearse, mapped: Any) -> None:
    run = at_map(rehearse(mapped(effect=AT_MOST_ONCE))).finish(gives(0)).go(hold_work=True).lose()

    first, second = (parse_instance(f"fan[{item}]:1#1") for item in (1, 2))
    assert (list(run.walk.doubts), run.state) == ([first, second], RunState.PAUSED)
    done = fact_events_pb2.EffectResolution(kind=fact_events_pb2.RESOLUTION_KIND_DONE)
    again = fact_events_pb2.EffectResolution(kind=fact_events_pb2.RESOLUTION_KIND_RETRY)
    run.fact(first, resolution=done)
    run.fact(second, resolution=again)
    run.lease().go()

    assert run.state is RunState.COMPLETED
    keys = {begun.key for begun in run.checked().begun.values()}
    assert len(keys) == 4
    assert idempotency_key("line", parse_instance("fan[2]:1#2").path, (1,)) in keys


def test_a_continued_run_takes_up_the_items_that_have_not_succeeded_over_the_same_list(
    rehearse: Rehearse, mapped: Any, failed: Played
) -> None:
    run = rehearse(mapped(max_parallel=1), fan=[gives(0), failed]).go()
    reopened = run_events_pb2.RunContinued(answers_sequence=run.head.ended_sequence, reopened=run.ended.failed)
    reopened.extra_attempts = 2
    run.items = 7  # whatever the list would be now
    run.outside(run_continued=reopened)

    run.lease().go()

    assert run.state is RunState.COMPLETED
    assert run.started[-4:] == ["fan[1]:1#1", "fan[1]:1#2", "fan[2]:1#1", "last:1#1"]
    assert run.kinds().count("map_items") == 1


def test_a_map_that_was_continued_and_fails_again_is_not_tried_again_by_itself(
    rehearse: Rehearse, mapped: Any, failed: Played
) -> None:
    run = rehearse(mapped(max_parallel=1), fan=[gives(0), failed, failed]).go()
    reopened = run_events_pb2.RunContinued(answers_sequence=run.head.ended_sequence, reopened=run.ended.failed)
    reopened.extra_attempts = 3
    run.outside(run_continued=reopened)

    run.lease().go()

    assert (run.state, run.ended.failed.attempt) == (RunState.FAILED, 2)
    assert run.started[-1] == "fan[1]:1#2"


def test_a_map_whose_results_were_too_large_is_tried_again_over_the_same_list(rehearse: Rehearse, mapped: Any) -> None:
    run = at_map(rehearse(mapped(max_parallel=3))).finish(gives(0)).finish(gives(1)).finish(gives(2))
    where = parse_instance("fan:1#1").message()
    too_large = instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE
    run.holder(node_settled=failed_settlement(where, too_large))
    run.go()
    reopened = run_events_pb2.RunContinued(answers_sequence=run.head.ended_sequence, reopened=where, extra_attempts=2)
    run.outside(run_continued=reopened)
    run.lease()
    run.holder(map_begun=again(run))
    run.holder(node_settled=failed_settlement(parse_instance("fan:1#2").message(), too_large))
    run.go()

    assert run.state is RunState.COMPLETED
    assert (run.kinds().count("map_items"), run.kinds().count("map_begun")) == (1, 3)


def failed_settlement(where: Any, cause: Any) -> node_events_pb2.NodeSettled:
    outcome, effect = instances_pb2.OUTCOME_FAILED, instances_pb2.EFFECT_NONE
    return node_events_pb2.NodeSettled(instance=where, effect=effect, outcome=outcome, cause=cause)


def again(run: Rehearsal) -> node_events_pb2.MapBegun:
    """The beginning of the map's next attempt."""
    begun = node_events_pb2.MapBegun()
    begun.CopyFrom(next(event.map_begun for event, _ in run.log if event.HasField("map_begun")))
    begun.instance.attempt = 2
    return begun


def test_a_jump_back_over_a_map_begins_it_anew(rehearse: Rehearse, mapped: Any, failed: Played) -> None:
    plan = mapped(max_parallel=3, fields={"inject_into": "first", "iteration_cap": 3})
    run = at_map(rehearse(plan))

    run.finish(failed, 1).go(hold_work=True).finish(OK).finish(OK).go()

    assert run.state is RunState.COMPLETED
    assert [started for started in run.started if started.startswith("fan[")][-3:] == [
        "fan[0]:2#1", "fan[1]:2#1", "fan[2]:2#1",
    ]  # fmt: skip
    assert run.kinds().count("map_items") == 2


def test_a_map_in_one_branch_is_left_when_the_other_jumps_back(rehearse: Rehearse, plans: Any, failed: Played) -> None:
    item = plans.node("fan", function=plans_pb2.FunctionNode(function="f"))
    fan = plans.node("fan", map=plans_pb2.MapNode(items="list", node=item, max_parallel=2))
    side = plans.node("side", inject_into="first", iteration_cap=3)
    run = rehearse(plans.graph([plans.node("first"), fan, side], [("first", "fan"), ("first", "side")]))

    at_map(run)
    place = under_way(run).index("side:1#1")
    run.finish(failed, place).go(hold_work=True)
    run.go()

    assert run.state is RunState.COMPLETED
    over = [
        event.node_settled for event, _ in run.log if event.node_settled.outcome == instances_pb2.OUTCOME_JUMPED_OVER
    ]
    assert [one.instance.path[-1].item for one in over] == [0]


def another_count(event: RunEvent) -> None:
    event.map_begun.count += 1


def no_list(event: RunEvent) -> None:
    event.map_items.json = b"3"


def another_order(event: RunEvent) -> None:
    output = json.loads(event.node_output.json)
    event.node_output.json = json.dumps({"results": output["results"][::-1], "errors": []}).encode()


@pytest.mark.parametrize(
    ("kind", "forge"),
    [("map_begun", another_count), ("map_items", no_list), ("node_output", another_order)],
)
def test_a_map_over_another_list_or_with_other_results_is_no_legal_one(
    mapped: Any, kind: str, forge: Callable[[RunEvent], None]
) -> None:
    run = Rehearsal(mapped(), {"fan": [gives(0), gives(1), gives(2)]}).create().go()
    forge(next(kept.event for kept in reversed(run.recorded) if kept.event.WhichOneof("kind") == kind))

    assert "DIGEST" in {violation.rule.value for violation in run.violations()}


@pytest.mark.parametrize("place", ["fan[0]:1#1", "fan[3]:1#1"])
def test_an_item_that_begins_again_or_too_early_is_no_legal_one(mapped: Any, place: str) -> None:
    run = Rehearsal(mapped(max_parallel=2), items=4).create()
    at_map(run).finish(gives(0)).go(hold_work=True)
    started = node_events_pb2.NodeStarted(effect=instances_pb2.EFFECT_NONE)
    started.instance.CopyFrom(parse_instance(place).message())

    run.holder(node_started=started)

    assert {violation.rule.value for violation in run.violations()} == {"PLAN"}


@given(plan=graphs(maps=True, guards=True, takers=True), draw=st.data())
def test_whatever_happens_over_maps_is_what_the_checker_allows(plan: WalkPlan, draw: st.DataObject) -> None:
    run = Rehearsal(plan).create()

    Disorder(run, draw.draw).play(trouble=True)

    assert run.violations() == []
    open_waits = [where for where, wait in run.walk.waits.items() if not wait.fact_sequence]
    assert run.walk.ended or run.walk.doubts or open_waits or run.walk.holds


@given(plan=graphs(maps=True), draw=st.data())
def test_where_nothing_goes_wrong_every_map_is_walked_to_its_end(plan: WalkPlan, draw: st.DataObject) -> None:
    run = Rehearsal(plan).create()

    Disorder(run, draw.draw).play(trouble=False)

    assert run.violations() == []
    assert run.state is RunState.COMPLETED
    assert run.walk.maps == {}
