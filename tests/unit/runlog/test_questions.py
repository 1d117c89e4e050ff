"""A question ends the attempt that asks it; whatever comes of it, the next attempt begins and knows."""

import hashlib
from typing import Any

import pytest

from perdure.runlog.instances import instance
from perdure.runlog.intents import Start
from perdure.runlog.interpreter import decide
from perdure.runlog.rules import Rule
from perdure.runlog.states import RunState
from perdure.v1 import (
    approval_facts_pb2,
    decisions_pb2,
    fact_events_pb2,
    instances_pb2,
    node_events_pb2,
    plans_pb2,
)
from tests.unit.runlog.conftest import OK
from tests.unit.runlog.graphs import FAILED

SHOWN = b'{"prompt":"Which?"}'
DIGEST = hashlib.sha256(SHOWN).digest()


def ask(run: Any, name: str = "q", **fields: Any) -> None:
    """Lets the work that was begun first end with a question."""
    start = run.running.pop(0)
    where = start.instance.message()
    asked = approval_facts_pb2.ApprovalWait(
        approval_id=f"{start.instance}", subject_digest=DIGEST, nonce="n", question=name, kind="APPROVAL_KIND_INPUT",
        allowed=[decisions_pb2.DECISION_KIND_SELECTED, decisions_pb2.DECISION_KIND_REJECTED], options=["l", "r"],
    )  # fmt: skip
    run.holder(node_output=node_events_pb2.NodeOutput(instance=where, json=SHOWN))
    told: dict[str, Any] = {"question": approval_facts_pb2.Question(approval=asked, timeout={"seconds": 60}), **fields}
    run.holder(
        node_settled=node_events_pb2.NodeSettled(
            instance=where, effect=start.node.effect, outcome=instances_pb2.OUTCOME_ASKED, output_digest=DIGEST, **told
        )
    )


def answer(run: Any, where: Any) -> None:
    """Selects an option."""
    selected = approval_facts_pb2.Decision(
        approval_id=str(where), kind=decisions_pb2.DECISION_KIND_SELECTED, selected_option="r", subject_digest=DIGEST
    )
    run.fact(where, decision=selected)


@pytest.fixture
def line(rehearse: Any, plans: Any) -> Any:
    """A run of two nodes, of which the first is under way and may be tried again."""
    return rehearse(plans.line(plans.node("a", iteration_cap=2), plans.node("b"))).go(hold_work=True)


def test_nobody_holds_a_run_that_asks_and_the_next_attempt_has_the_answer(line: Any, at: Any) -> None:
    ask(line)
    line.go()
    paused, open_waits = line.state, line.head.open_waits
    answer(line, at("a"))
    queued = line.state

    line.lease().go(hold_work=True)
    answers = line.walk.nodes["a"].answers
    line.go()

    assert (paused, queued, line.state) == (RunState.PAUSED, RunState.QUEUED, RunState.COMPLETED)
    assert open_waits == 1
    assert [(one.question, one.recorded.decision.selected_option) for one in answers] == [("q", "r")]
    assert line.started == ["a:1#1", "a:1#2", "b:1#1"]


def test_a_question_counts_as_no_failure_and_a_failure_keeps_its_answer(line: Any, at: Any) -> None:
    ask(line)
    line.go()
    answer(line, at("a"))
    line.lease().go(hold_work=True)
    line.finish(FAILED)
    line.go(hold_work=True)

    assert line.walk.nodes["a"].failures == 1
    assert [one.question for one in line.walk.nodes["a"].answers] == ["q"]
    line.go()
    assert line.started == ["a:1#1", "a:1#2", "a:1#3", "b:1#1"]


def test_who_takes_a_run_over_before_the_question_was_put_puts_it(line: Any, at: Any) -> None:
    ask(line)
    line.lose()

    line.lease().go()

    assert line.kinds()[-3:] == ["wait_subject", "wait_opened", "run_paused"]
    answer(line, at("a"))
    line.lease().go()
    assert line.state is RunState.COMPLETED


def test_an_expired_question_is_told_to_the_next_attempt(line: Any, at: Any) -> None:
    ask(line)
    line.go()
    line.clock = 60_000_000
    expired = fact_events_pb2.WaitExpired()
    expired.deadline_time.FromMicroseconds(line.clock)
    line.fact(at("a"), wait_expired=expired)

    line.lease().go(hold_work=True)

    assert [one.recorded.WhichOneof("fact") for one in line.walk.nodes["a"].answers] == ["wait_expired"]
    line.go()
    assert line.state is RunState.COMPLETED


def test_another_branch_goes_on_while_one_asks(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.graph([plans.node("a"), plans.node("b"), plans.node("c")], [("b", "c")])).go(hold_work=True)
    ask(run)

    run.go()
    answer(run, at("a"))
    run.lease().go()

    assert run.started == ["a:1#1", "b:1#1", "c:1#1", "a:1#2"]
    assert run.state is RunState.COMPLETED


def test_an_item_may_begin_before_the_question_of_another_is_put(rehearse: Any, plans: Any, at: Any) -> None:
    each = plans_pb2.MapNode(items="inputs.of", max_parallel=2, node=plans.node("each"))
    run = rehearse(plans.line(plans.node("each", map=each))).go(hold_work=True)
    run.finish(OK, 1)
    ask(run)
    (third,) = [one for one in decide(run.walk) if isinstance(one, Start)]

    run.begin(third)
    run.go()

    assert run.started[1:] == ["each[0]:1#1", "each[1]:1#1", "each[2]:1#1"]
    assert run.state is RunState.PAUSED


def test_a_jump_closes_the_question_and_the_next_visit_asks_anew(rehearse: Any, plans: Any, at: Any) -> None:
    nodes = [
        plans.node("first"), plans.node("asks"), plans.node("fails", iteration_cap=3, inject_into="first"),
    ]  # fmt: skip
    run = rehearse(plans.graph(nodes, [("first", "asks"), ("first", "fails")])).go(hold_work=True)
    run.finish(OK)
    run.go(hold_work=True)
    ask(run)
    run.go(hold_work=True)
    run.finish(FAILED)

    run.go(hold_work=True)

    closed = [event.wait_closed for event, _ in run.log if event.HasField("wait_closed")]
    assert [instance(one.instance) for one in closed] == [at("asks")]
    run.go()
    assert run.state is RunState.COMPLETED
    assert run.started == ["first:1#1", "asks:1#1", "fails:1#1", "first:2#1", "asks:2#1", "fails:2#1"]


def test_an_answer_is_for_its_own_visit(rehearse: Any, plans: Any, at: Any) -> None:
    asks = plans.node("asks", iteration_cap=3, inject_into="first")
    run = rehearse(plans.line(plans.node("first"), asks), asks=[OK]).go(hold_work=True)
    run.finish(OK).go(hold_work=True)
    ask(run)
    run.go()
    answer(run, at("asks"))
    run.lease().go(hold_work=True)
    first = run.walk.nodes["asks"].answers
    run.finish(FAILED).go(hold_work=True)
    run.finish(OK).go(hold_work=True)

    assert run.started[-1] == "asks:2#1"
    assert (len(first), run.walk.nodes["asks"].answers) == (1, ())


def test_what_acted_in_an_earlier_visit_has_acted_though_it_only_asks_in_this_one(
    rehearse: Any, plans: Any, at: Any
) -> None:
    gate = plans.node("gate", approval=plans_pb2.ApprovalNode(prompt="?"))
    acts = plans.node("acts", effect=instances_pb2.EFFECT_IDEMPOTENT)
    fails = plans.node("fails", iteration_cap=3, inject_into="acts")
    run = rehearse(plans.line(gate, acts, fails), fails=[FAILED]).go()
    run.fact(
        at("gate"),
        decision=approval_facts_pb2.Decision(approval_id="gate:1#1", kind=decisions_pb2.DECISION_KIND_APPROVED),
    )
    run.lease().go(hold_work=True)
    run.finish(OK).go(hold_work=True)
    run.finish(FAILED).go(hold_work=True)
    before = run.walk.nodes["gate"].acted_by

    ask(run)

    assert run.started[-1] == "acts:2#1"
    assert [(step.node, step.visit) for step in sorted(before)] == [("acts", 1), ("acts", 2)]
    assert [(step.node, step.visit) for step in run.walk.nodes["gate"].acted_by] == [("acts", 1)]
    run.go()


def test_an_effect_that_asked_before_it_began_is_over_and_in_no_doubt(rehearse: Any, plans: Any, at: Any) -> None:
    run = rehearse(plans.line(plans.node("a", effect=instances_pb2.EFFECT_AT_MOST_ONCE))).go(hold_work=True)
    ask(run)
    run.go()

    assert (run.head.open_effects, run.head.in_doubt, run.state) == (0, 0, RunState.PAUSED)
    answer(run, at("a"))
    run.lease().go()
    assert run.state is RunState.COMPLETED


def test_who_asks_says_what(line: Any) -> None:
    ask(line, question=None)
    assert Rule.PLAN in {violation.rule for violation in line.violations()}
    line.recorded[-1].event.node_settled.outcome = instances_pb2.OUTCOME_STOPPED
    line.recorded[-1].event.node_settled.cause = instances_pb2.FAILURE_CAUSE_STOPPED


def test_what_is_put_is_what_was_asked(line: Any) -> None:
    ask(line)
    line.go()
    opened = next(one.event.wait_opened for one in line.recorded if one.event.HasField("wait_opened"))
    opened.approval.nonce = "another"

    assert Rule.PLAN in {violation.rule for violation in line.violations()}
    opened.approval.nonce = "n"


def test_the_next_attempt_waits_for_the_answer(line: Any, at: Any) -> None:
    ask(line)
    line.go()
    answer(line, at("a"))
    line.lease().go()
    decided = next(one for one in line.recorded if one.event.fact_recorded.HasField("decision"))
    whole = fact_events_pb2.FactRecorded()
    whole.CopyFrom(decided.event.fact_recorded)
    decided.event.fact_recorded.approval_commented.approval_id = whole.decision.approval_id

    assert Rule.PLAN in {violation.rule for violation in line.violations()}
    decided.event.fact_recorded.CopyFrom(whole)
