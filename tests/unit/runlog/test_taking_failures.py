"""Failures that the plan takes: by an edge, by a handler, and what is begun then, and what never is."""

import json
from typing import Any

import pytest

from perdure.runlog.bindings import bindings
from perdure.runlog.node_walk import Phase
from perdure.runlog.plans import WalkPlan
from perdure.runlog.rules import Rule
from perdure.runlog.states import RunState
from perdure.v1 import approval_facts_pb2, decisions_pb2, instances_pb2, node_events_pb2, plans_pb2, run_events_pb2

OK = (instances_pb2.OUTCOME_SUCCEEDED, instances_pb2.FAILURE_CAUSE_UNSPECIFIED, b"")
REJECTED = instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED
EXIT_CODE = instances_pb2.FAILURE_CAUSE_EXIT_CODE
ANY = plans_pb2.Failures(any=True)


def says(**output: Any) -> Any:
    return (*OK[:2], json.dumps(output).encode())


@pytest.fixture
def plan(plans: Any) -> Any:
    """A plan of steps between names; `a!b` is one that any failure of `a` takes."""

    def make(*steps: str, handlers: Any = (), **given: Any) -> WalkPlan:
        names, edges = dict[str, None](), []
        for step in steps:
            source, sign, target = step.partition("!" if "!" in step else ">")
            names |= {source: None, target: None}
            edges.append(plans_pb2.PlanEdge(source=source, target=target, on=ANY if sign == "!" else None))
        nodes = [given.get(name) or plans.node(name) for name in names]
        return WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, error_handlers=handlers, jump_limit=10))

    return make


def gate(plans: Any, name: str, **fields: Any) -> plans_pb2.PlanNode:
    node: plans_pb2.PlanNode = plans.node(name, approval=plans_pb2.ApprovalNode(), **fields)
    return node


def decided(run: Any, where: Any, kind: str, reason: str = "") -> Any:
    number = decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{kind}")
    run.fact(
        where, decision=approval_facts_pb2.Decision(approval_id=str(where), kind=number, decider="ada", reason=reason)
    )
    return run.lease()


def done(run: Any) -> list[str]:
    return [started.partition(":")[0] for started in run.started]


def test_a_failure_goes_the_way_that_its_edge_says_when_attempts_are_used_up(
    rehearse: Any, plan: Any, plans: Any, failed: Any, at: Any
) -> None:
    run = rehearse(plan("a>b", "b>c", "b!mend", "mend>c", b=plans.node("b", iteration_cap=2)), b=[failed, failed])

    run.go()

    assert done(run) == ["a", "b", "b", "mend", "c"]
    assert run.state is RunState.COMPLETED
    taken = next(event.failure_taken for event, _ in run.log if event.HasField("failure_taken"))
    assert (taken.target, taken.cause, taken.handler) == (
        "mend", instances_pb2.FAILURE_CAUSE_ITERATION_CAP_EXCEEDED, 0,
    )  # fmt: skip
    seen = bindings(run.walk, at("mend"))
    assert set(seen["nodes"]) == {"a"}
    assert seen["last_error"] == {"node": "b", "cause": "FUNCTION_RAISED", "message": "as played"}
    assert seen["last_failed_node"] == "b"


def test_where_nothing_fails_what_failures_lead_to_is_passed_over(rehearse: Any, plan: Any, at: Any) -> None:
    run = rehearse(plan("a>b", "b>c", "b!mend", "mend>c")).go()

    assert done(run) == ["a", "b", "c"]
    assert run.walk.nodes["mend"].phase is Phase.PASSED_OVER
    assert bindings(run.walk, at("c"))["last_failed_node"] is None


def test_a_join_behind_a_failure_is_not_begun_by_the_branch_that_succeeded(
    rehearse: Any, plan: Any, failed: Any
) -> None:
    run = rehearse(plan("test>pack", "pack>deploy", "lint>deploy", "deploy>tell", "test!mourn"), test=[failed])

    run.go()

    assert set(done(run)) == {"test", "lint", "mourn"}
    assert run.walk.nodes["deploy"].phase is Phase.CUT_OFF
    assert run.state is RunState.COMPLETED


def test_a_join_is_begun_where_the_way_of_the_failure_leads_back_to_it(rehearse: Any, plan: Any, failed: Any) -> None:
    run = rehearse(plan("test>pack", "pack>deploy", "lint>deploy", "test!mend", "mend>deploy"), test=[failed])

    run.go()

    assert set(done(run)) == {"test", "lint", "mend", "deploy"}


def test_a_node_may_follow_success_and_failure_alike(rehearse: Any, plan: Any, failed: Any) -> None:
    steps = ("a>b", "a!clean", "b>clean", "b!clean")
    for fails, walked in (("", ["a", "b", "clean"]), ("a", ["a", "clean"]), ("b", ["a", "b", "clean"])):
        run = rehearse(plan(*steps), **({fails: [failed]} if fails else {})).go()

        assert done(run) == walked


def test_a_handler_gives_a_default_and_the_walk_goes_on_as_after_a_success(
    rehearse: Any, plan: Any, failed: Any, at: Any
) -> None:
    handler = plans_pb2.ErrorHandler(on=ANY, nodes=["a"], output=b'{"count":0}')
    run = rehearse(plan("a>b", "b>c", handlers=[handler]), a=[failed]).go()

    assert done(run) == ["a", "b", "c"]
    seen = bindings(run.walk, at("c"))
    assert (seen["count"], seen["last_failed_node"], seen["last_error"]["cause"]) == (0, "a", "FUNCTION_RAISED")


def test_handlers_are_asked_in_order_behind_edges_and_by_cause(rehearse: Any, plan: Any, failed: Any) -> None:
    of_codes = plans_pb2.Failures(causes=[EXIT_CODE])
    handlers = [
        plans_pb2.ErrorHandler(on=of_codes, nodes=["a"], go_to="code"),
        plans_pb2.ErrorHandler(on=ANY, nodes=["a"], go_to="other"),
    ]
    code = (instances_pb2.OUTCOME_FAILED, EXIT_CODE, b"")
    for how, last in ((code, "code"), (failed, "other")):
        run = rehearse(plan("a>b", "b>code", "b>other", handlers=handlers), a=[how]).go()

        assert done(run) == ["a", last]


def test_a_handler_may_say_how_the_run_fails(rehearse: Any, plan: Any, plans: Any, failed: Any) -> None:
    handler = plans_pb2.ErrorHandler(on=ANY, nodes=["a"], fail=EXIT_CODE, message="call the owner")

    run = rehearse(plan("a>b", handlers=[handler]), a=[failed]).go()

    assert (run.state, run.ended.cause, run.ended.message) == (RunState.FAILED, EXIT_CODE, "call the owner")
    assert run.ended.node_cause == instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED


def test_a_rejected_approval_is_taken_by_an_edge_that_names_it_and_by_no_other(
    rehearse: Any, plan: Any, plans: Any, at: Any
) -> None:
    of_rejection = plans_pb2.Failures(causes=[REJECTED])
    for on, walked in ((of_rejection, ["a", "ask", "rework"]), (ANY, ["a", "ask"])):
        made = plan("a>ask", "ask>go", "ask!rework", ask=gate(plans, "ask"))
        made.message.edges[2].on.CopyFrom(on)
        run = rehearse(WalkPlan(made.message)).go()

        decided(run, at("ask"), "REJECTED", "not yet").go()

        assert done(run) == walked
        assert run.state is (RunState.COMPLETED if on is of_rejection else RunState.FAILED)
        if on is of_rejection:
            seen = bindings(run.walk, at("rework"))
            said = {"decision": "rejected", "decider": "ada", "reason": "not yet"}
            assert seen["last_approval"] == said | {"decided_at": "1970-01-01T00:00:00Z"}
            assert "ask" not in seen["nodes"]


def test_no_default_leads_on_past_a_rejection(rehearse: Any, plan: Any, plans: Any, at: Any) -> None:
    handler = plans_pb2.ErrorHandler(on=plans_pb2.Failures(any=True, causes=[REJECTED]), nodes=["ask"], output=b"{}")
    run = rehearse(plan("ask>go", handlers=[handler], ask=gate(plans, "ask"))).go()

    decided(run, at("ask"), "REJECTED").go()

    assert (run.state, done(run)) == (RunState.FAILED, ["ask"])


def test_a_default_makes_no_choice_that_could_not_be_made(rehearse: Any, plans: Any) -> None:
    edges = [plans_pb2.PlanEdge(source="a", target="b", when="true")]
    handler = plans_pb2.ErrorHandler(on=ANY, nodes=["a"], output=b"{}")
    nodes = [plans.node("a"), plans.node("b")]
    run = rehearse(WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, error_handlers=[handler])))
    run.choices["a"] = [None]

    run.go()

    assert (run.state, run.ended.cause) == (RunState.FAILED, instances_pb2.FAILURE_CAUSE_CHOICE_UNCLEAR)


def test_a_failure_that_nothing_takes_ends_the_run_before_another_is_taken(
    rehearse: Any, plan: Any, failed: Any
) -> None:
    run = rehearse(plan("start>a", "start>b", "a!mend")).go(hold_work=True)
    run.finish(OK).go(hold_work=True)

    run.finish(failed).finish(failed).go()

    assert (run.state, set(done(run))) == (RunState.FAILED, {"start", "a", "b"})
    assert "failure_taken" not in run.kinds()


def test_another_executor_goes_on_from_any_position(rehearse: Any, plan: Any, failed: Any) -> None:
    run = rehearse(plan("a>b", "a!mend", "mend>b")).go(hold_work=True)
    run.finish(failed).lose().lease()

    run.go(hold_work=True).lose().lease().go()

    assert done(run) == ["a", "mend", "mend", "b"]
    assert run.kinds().count("failure_taken") == 1


def test_a_walk_that_goes_back_over_a_failure_that_was_taken_does_its_node_again(
    rehearse: Any, plan: Any, plans: Any, failed: Any, at: Any
) -> None:
    nodes = {"mend": plans.node("mend", inject_into="a", iteration_cap=3)}
    run = rehearse(plan("a>b", "b>c", "b!mend", "mend>c", **nodes), b=[failed], mend=[failed]).go()

    assert done(run) == ["a", "b", "mend", "a", "b", "c"]
    assert bindings(run.walk, at("a", 2))["last_failed_node"] == "mend"
    assert bindings(run.walk, at("c"))["last_error"] is None


@pytest.mark.parametrize(
    "forged", [{"target": "c"}, {"target": "b"}, {"handler": 1}, {"target": "mend", "cause": EXIT_CODE}]
)
def test_a_failure_taken_in_a_way_that_the_plan_does_not_have_is_no_legal_one(
    rehearse: Any, plan: Any, failed: Any, at: Any, forged: dict[str, Any]
) -> None:
    run = rehearse(plan("a>b", "b>c", "a!mend")).go(hold_work=True).finish(failed)
    checker = run.checked()
    fields = {"cause": instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED, **forged}
    taken = node_events_pb2.FailureTaken(instance=at("a").message(), **fields)

    head = checker.head
    origin = run_events_pb2.HolderOrigin(lease_id=head.lease_id, epoch=head.epoch, ordinal=head.next_ordinal)
    event = run_events_pb2.RunEvent(failure_taken=taken)
    checker.take(
        run_events_pb2.RecordedEvent(run_id="run", sequence=head.last_sequence + 1, holder=origin, event=event)
    )

    assert Rule.PLAN in [violation.rule for violation in checker.violations]
