"""Nodes that go on with one of their steps: what is recorded, what is passed over, and what a join waits for."""

from typing import Any

import pytest

from perdure.runlog.bindings import bindings
from perdure.runlog.checker import Violation
from perdure.runlog.plans import WalkPlan
from perdure.runlog.rules import Rule
from perdure.runlog.states import RunState
from perdure.v1 import instances_pb2, node_events_pb2, plans_pb2, run_events_pb2

OK = (instances_pb2.OUTCOME_SUCCEEDED, instances_pb2.FAILURE_CAUSE_UNSPECIFIED, b"")
UNCLEAR = instances_pb2.FAILURE_CAUSE_CHOICE_UNCLEAR


@pytest.fixture
def choice(plans: Any) -> Any:
    """`ask` goes on with yes, whose guard holds or not, or with no; both lead to `then`, and yes over `more`."""

    def make(**given: Any) -> WalkPlan:
        names = ("ask", "yes", "more", "no", "then")
        edges = [
            plans_pb2.PlanEdge(source="ask", target="yes", when="good"),
            plans_pb2.PlanEdge(source="ask", target="no", otherwise=True),
            *(plans_pb2.PlanEdge(source=a, target=b) for a, b in (("yes", "more"), ("more", "then"), ("no", "then"))),
        ]
        nodes = [given.get(name) or plans.node(name) for name in names]
        return WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, jump_limit=10))

    return make


def done(run: Any) -> list[str]:
    return [started.partition(":")[0] for started in run.started]


@pytest.mark.parametrize(("taken", "walked"), [("yes", ["ask", "yes", "more", "then"]), ("no", ["ask", "no", "then"])])
def test_one_way_is_walked_and_its_join_does_not_wait_for_the_other(
    rehearse: Any, choice: Any, taken: str, walked: list[str]
) -> None:
    run = rehearse(choice())
    run.choices["ask"] = [taken]

    run.go()

    assert done(run) == walked
    assert run.state is RunState.COMPLETED


def test_the_choice_is_recorded_once_behind_the_success_and_another_executor_believes_it(
    rehearse: Any, choice: Any
) -> None:
    run = rehearse(choice())
    run.choices["ask"] = ["no"]
    run.go(hold_work=True)
    run.finish(OK).go(hold_work=True)

    run.lose().lease()
    run.choices["ask"] = ["yes"]
    run.go()

    assert run.kinds().count("choice_made") == 1
    assert run.kinds()[run.kinds().index("choice_made") - 1] == "node_settled"
    assert set(done(run)) == {"ask", "no", "then"}


def test_an_executor_that_is_lost_before_the_choice_leaves_it_to_the_next(rehearse: Any, choice: Any) -> None:
    run = rehearse(choice()).go(hold_work=True)
    run.finish(OK)

    run.lose().lease().go()

    assert done(run) == ["ask", "yes", "more", "then"]


def test_a_choice_that_cannot_be_made_fails_its_node_with_its_own_cause_and_is_not_tried_again(
    rehearse: Any, choice: Any, plans: Any
) -> None:
    run = rehearse(choice(ask=plans.node("ask", iteration_cap=5)))
    run.choices["ask"] = [None]

    run.go()

    assert done(run) == ["ask"]
    assert (run.state, run.ended.cause) == (RunState.FAILED, UNCLEAR)


def test_a_choice_that_cannot_be_made_goes_back_where_its_node_says_so(rehearse: Any, plans: Any) -> None:
    nodes = [plans.node("draft"), plans.node("ask", inject_into="draft", iteration_cap=3), plans.node("yes")]
    edges = [
        plans_pb2.PlanEdge(source="draft", target="ask"),
        plans_pb2.PlanEdge(source="ask", target="yes", when="good"),
    ]
    run = rehearse(WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, jump_limit=10)))
    run.choices["ask"] = [None, "yes"]

    run.go()

    assert run.started == ["draft:1#1", "ask:1#1", "draft:2#1", "ask:2#1", "yes:1#1"]
    assert run.state is RunState.COMPLETED


def test_a_walk_that_went_back_may_choose_another_way(
    rehearse: Any, choice: Any, plans: Any, failed: Any, at: Any
) -> None:
    run = rehearse(choice(then=plans.node("then", inject_into="ask", iteration_cap=3)), then=[failed])
    run.choices["ask"] = ["yes", "no"]

    run.go()

    assert done(run) == ["ask", "yes", "more", "then", "ask", "no", "then"]
    assert set(bindings(run.walk, at("then", 2))["nodes"]) == {"ask", "no"}


def test_a_node_sees_what_was_passed_over_no_more_than_what_never_was(rehearse: Any, choice: Any, at: Any) -> None:
    run = rehearse(choice())
    run.choices["ask"] = ["no"]

    run.go()

    assert set(bindings(run.walk, at("then"))["nodes"]) == {"ask", "no"}


def test_a_guard_sees_what_its_node_has_brought_about(rehearse: Any, choice: Any, at: Any) -> None:
    run = rehearse(choice()).go(hold_work=True)
    run.finish((*OK[:2], b'{"good": true}'))

    seen = bindings(run.walk, at("ask"), behind=True)

    assert (seen["good"], seen["nodes"]) == (True, {"ask": {"good": True}})


def made(**fields: Any) -> Any:
    where = instances_pb2.Instance(path=[instances_pb2.PathStep(node="ask", visit=1)], attempt=1)
    return run_events_pb2.RunEvent(choice_made=node_events_pb2.ChoiceMade(instance=where, **fields))


@pytest.mark.parametrize(
    "forged",
    [{"target": "then"}, {"target": "nobody"}, {"cause": instances_pb2.FAILURE_CAUSE_STOPPED}],
    ids=["no step", "no node", "no cause of a guard"],
)
def test_a_choice_that_no_guard_can_lead_to_is_no_legal_one(rehearse: Any, choice: Any, forged: dict[str, Any]) -> None:
    checker = rehearse(choice()).go(hold_work=True).finish(OK).checked()

    checker.take(recorded(checker, made(**forged)))

    assert [violation.rule for violation in checker.violations] == [Rule.PLAN]


def test_a_choice_before_its_node_has_succeeded_or_a_second_one_is_no_legal_one(rehearse: Any, choice: Any) -> None:
    early = rehearse(choice()).go(hold_work=True).checked()
    late = rehearse(choice()).go(hold_work=True).finish(OK).go(hold_work=True).checked()

    for checker in (early, late):
        checker.take(recorded(checker, made(target="yes")))

        assert [violation.rule for violation in checker.violations] == [Rule.PLAN]


def recorded(checker: Any, event: Any) -> Any:
    head = checker.head
    origin = run_events_pb2.HolderOrigin(lease_id=head.lease_id, epoch=head.epoch, ordinal=head.next_ordinal)
    return run_events_pb2.RecordedEvent(run_id="run", sequence=head.last_sequence + 1, holder=origin, event=event)


def test_both_ways_begun_is_no_legal_log(rehearse: Any, choice: Any) -> None:
    run = rehearse(choice()).go(hold_work=True).finish(OK).go(hold_work=True)
    where = instances_pb2.Instance(path=[instances_pb2.PathStep(node="no", visit=1)], attempt=1)
    started = node_events_pb2.NodeStarted(instance=where, effect=instances_pb2.EFFECT_NONE)

    checker = run.checked()
    checker.take(recorded(checker, run_events_pb2.RunEvent(node_started=started)))

    found: list[Violation] = checker.violations
    assert [violation.rule for violation in found] == [Rule.PLAN]
