"""Part runs: an attempt that is done in a run of its own is as if it had been done where its node is."""

import json
from typing import Any

import pytest

from perdure.runlog.bindings import bindings
from perdure.runlog.effects import child_run_id, idempotency_key
from perdure.runlog.instances import Instance, Step, instance
from perdure.runlog.interpreter import decide
from perdure.runlog.parts import excerpt
from perdure.runlog.plans import WalkPlan, worst_effect
from perdure.runlog.states import RunState
from perdure.v1 import fact_events_pb2, instances_pb2, plans_pb2, run_events_pb2

FAILED = {"state": RunState.FAILED, "cause": instances_pb2.FAILURE_CAUSE_EXIT_CODE, "message": "it said no"}


def part_node(plans: Any, node: str, effect: str = "NONE", **fields: Any) -> plans_pb2.PlanNode:
    """A node that is done in a part."""
    inside = plans.node(node, effect=instances_pb2.Effect.Value(f"EFFECT_{effect}"))
    spec: plans_pb2.PlanNode = plans.node(node, part=plans_pb2.PartNode(node=inside, plan_digest=b"p" * 32), **fields)
    return spec


def key_of(run: Any, place: str) -> str:
    """The key under which a run does what it does at a place."""
    return idempotency_key(run.walk.lineage_id, run.walk.instance(place).path, run.walk.redos(place))


def ended(where: Instance, state: RunState = RunState.COMPLETED, **fields: Any) -> dict[str, Any]:
    """The end of the part that an attempt is, as a fact."""
    child = child_run_id("run", where)
    return {"child_ended": fact_events_pb2.ChildEnded(run_id=child, state=state.message(), ended_sequence=3, **fields)}


def test_a_part_that_fails_is_a_failure_of_its_node_and_the_next_attempt_is_another_part(
    rehearse: Any, plans: Any, at: Any
) -> None:
    run = rehearse(plans.line(part_node(plans, "a", iteration_cap=2), plans.node("z"))).go()
    run.fact(at("a"), **ended(at("a"), **FAILED, redo=1))

    run.lease().go()

    settled = next(event.node_settled for event, _ in run.log if event.HasField("node_settled"))
    started = [event.child_started for event, _ in run.log if event.HasField("child_started")]
    assert (settled.cause, settled.message) == (FAILED["cause"], FAILED["message"])
    assert [(str(instance(one.instance)), one.part, one.redo) for one in started] == [
        ("a:1#1", True, 0),
        ("a:1#2", True, 1),
    ]
    assert started[0].run_id != started[1].run_id


def test_a_part_that_follows_a_long_back_off_is_all_that_its_run_waits_for(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.line(part_node(plans, "a", iteration_cap=2), plans.node("z"))).go()
    fact = run.fact(at("a"), **ended(at("a"), **FAILED))
    run.lease().holder(fact_taken_up=fact_events_pb2.FactTakenUp(sequence=fact))
    (failure,) = decide(run.walk)
    settled = failure.events[0]
    settled.node_settled.retry_delay.FromSeconds(60)
    run.append(settled, by_holder=True)
    run.go().pass_backoff(at("a"))
    run.lease().go()
    waits = list(run.walk.waits)

    run.fact(at("a", 1, 2), **ended(at("a", 1, 2)))
    run.lease().go()

    assert waits == [at("a", 1, 2)]
    assert run.state is RunState.COMPLETED


def test_a_part_that_a_person_cancelled_fails_its_node_for_good(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.line(part_node(plans, "a", iteration_cap=2), plans.node("z"))).go()
    run.fact(at("a"), **ended(at("a"), RunState.CANCELLED))

    assert run.lease().go().ended.cause == instances_pb2.FAILURE_CAUSE_CHILD_CANCELLED


def test_a_part_begins_with_its_attempt_and_has_the_address_and_the_key_that_it_would_have_in_place(
    rehearse: Any, plans: Any
) -> None:
    below, first = Step("below", 2), Instance((Step("below", 2), Step("a", 1)), 1)
    parent = rehearse(plans.line(part_node(plans, "a", iteration_cap=2), plans.node("z")), below).go()
    parent.fact(first, **ended(first, **FAILED, redo=1))
    parent.lease().go()
    second = parent.log[-2][0].child_started

    part = run_events_pb2.RunPart(instance=second.instance, redo=second.redo)
    run = rehearse(plans.line(plans.node("a")), below, part=part).go()

    assert run.started == [str(instance(second.instance))] == ["below:2/a:1#2"]
    assert key_of(run, "a") == key_of(parent, "a") != idempotency_key("line", first.path, (0, 0))
    assert run.ended.state == RunState.COMPLETED.message()


def test_a_part_leaves_its_nodes_output_and_sees_what_its_parent_saw(rehearse: Any, plans: Any, at: Any) -> None:
    part = run_events_pb2.RunPart(instance=at("a").message())
    run = rehearse(plans.line(plans.node("a")), part=part, a=[(instances_pb2.OUTCOME_SUCCEEDED, 0, b'{"n":2}')])
    run.outside(run_input=run_events_pb2.RunInput(json=b'{"n":1,"nodes":{"b":{"n":1}}}'))

    seen = bindings(run.walk, at("a"))
    run.go()

    assert seen == {"n": 1, "nodes": {"b": {"n": 1}}}
    assert [event.run_output.json for event, _ in run.log if event.HasField("run_output")] == [b'{"n":2}']


def test_items_of_a_map_in_a_part_are_those_that_they_would_be_in_place(rehearse: Any, plans: Any, at: Any) -> None:
    inside = plans_pb2.MapNode(items="list", node=plans.node("m", iteration_cap=2), max_parallel=9)
    part = run_events_pb2.RunPart(instance=at("m", 2, 3).message())
    fails = (instances_pb2.OUTCOME_FAILED, instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED, b"")

    run = rehearse(plans.line(plans.node("m", map=inside)), part=part, m=[fails]).go(hold_work=True)
    run.finish(fails)
    seen = bindings(run.walk, run.walk.instance("m[0]"))
    run.go()

    assert run.started[:4] == ["m:2#3", "m[0]:2#1", "m[1]:2#1", "m[2]:2#1"]
    assert (seen["item_index"], seen["last_error"]["cause"]) == (0, "FUNCTION_RAISED")
    assert run.state is RunState.COMPLETED


def gone_back(rehearse: Any, plans: Any, effect: str) -> Any:
    """A run that waits for a part and goes back over it, as the branch beside it has failed."""
    fails = (instances_pb2.OUTCOME_FAILED, instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED, b"")
    beside = plans.node("b", inject_into="s", iteration_cap=3)
    steps = [("s", "a"), ("s", "b")]
    plan = plans.graph([plans.node("s"), part_node(plans, "a", effect), beside], steps)
    return rehearse(plan, b=[fails]).go()


def test_what_must_not_be_cut_short_is_awaited_by_a_jump_also_in_a_part(rehearse: Any, plans: Any, at: Any) -> None:
    run = gone_back(rehearse, plans, "AT_MOST_ONCE")
    before = (run.kinds()[-2:], run.state)
    run.fact(at("a"), **ended(at("a")))

    run.lease().go()

    assert before == (["jump_begun", "run_paused"], RunState.PAUSED)
    assert "wait_closed" not in run.kinds()
    assert run.started[-3:] == ["s:2#1", "a:2#1", "b:2#1"]


def test_what_may_be_repeated_is_told_to_stop_by_a_jump_also_in_a_part(rehearse: Any, plans: Any) -> None:
    run = gone_back(rehearse, plans, "IDEMPOTENT")

    assert run.kinds()[run.kinds().index("jump_begun") :][:3] == ["jump_begun", "wait_closed", "jumped"]


@pytest.mark.parametrize("effect", ["AT_MOST_ONCE", "NONE"])
def test_a_run_that_fails_waits_for_the_part_that_must_not_be_cut_short(
    rehearse: Any, plans: Any, at: Any, failed: Any, effect: str
) -> None:
    plan = plans.graph([plans.node("s"), part_node(plans, "a", effect), plans.node("b")], [("s", "a"), ("s", "b")])
    run = rehearse(plan, b=[failed]).go()
    before = run.state
    if before is RunState.PAUSED:
        run.fact(at("a"), **ended(at("a")))
        run.lease().go()

    assert before is (RunState.PAUSED if effect == "AT_MOST_ONCE" else RunState.FAILED)
    assert run.state is RunState.FAILED


def test_items_that_are_runs_are_waited_for_again_when_their_run_is_continued(rehearse: Any, plans: Any) -> None:
    child = plans.node("m", playbook=plans_pb2.PlaybookNode(playbook_id="c", version="1", plan_digest=b"p" * 32))
    inside = plans_pb2.MapNode(items="list", node=child, max_parallel=2)
    run = rehearse(plans.line(plans.node("m", map=inside))).go()

    assert [str(where) for where in run.walk.awaited_children()] == ["m[0]:1#1", "m[1]:1#1"]


SEEN = {"n": 1, "word": "x", "nodes": {"a": {"out": 1, "err": 2}, "b": {"out": 3}}, "last_error": None}
EXCERPTS = [
    ([("n",)], {"n": 1}),
    ([("nodes", "a", "out"), ("nodes", "b")], {"nodes": {"a": {"out": 1}, "b": {"out": 3}}}),
    ([("nodes", "c", "out"), ("nodes", "a", "no")], {"nodes": {"a": {}}}),
    ([("word", "size"), ("last_error", "cause")], {"word": "x", "last_error": None}),
    ([("missing",)], {}),
]


@pytest.mark.parametrize(("reads", "expected"), EXCERPTS)
def test_an_excerpt_has_what_is_read_in_its_place_and_nothing_else(reads: list[Any], expected: dict[str, Any]) -> None:
    assert excerpt(json.loads(json.dumps(SEEN)), reads) == expected


def test_what_a_part_does_is_seen_by_whoever_asks_for_the_worst_that_may_follow(plans: Any) -> None:
    plan = WalkPlan(plans_pb2.Plan(nodes=[part_node(plans, "a", "COMPENSABLE")]))

    assert plan.nodes["a"].effect == instances_pb2.EFFECT_NONE
    assert worst_effect(plan.nodes["a"]) == instances_pb2.EFFECT_COMPENSABLE
