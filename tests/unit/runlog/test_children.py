"""Nodes that start other runs: what follows from a child's end, what a child leaves, and what holds between the two."""

import copy
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from perdure.runlog.checker import LogChecker
from perdure.runlog.effects import child_run_id
from perdure.runlog.folding import fold_event
from perdure.runlog.instances import Instance, Step, instance
from perdure.runlog.plans import WalkPlan
from perdure.runlog.rules import Rule
from perdure.runlog.states import RunState
from perdure.runlog.tree import Tree
from perdure.runlog.walk import Walk
from perdure.v1 import approval_facts_pb2, fact_events_pb2, instances_pb2, plans_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RecordedEvent

CHILD_PLAYBOOK = plans_pb2.PlaybookNode(playbook_id="child", version="1", plan_digest=b"p" * 32)


def ended(where: Instance, state: RunState = RunState.COMPLETED, **fields: Any) -> dict[str, Any]:
    """The end of the child that an attempt has started, as a fact."""
    child = child_run_id("run", where)
    return {"child_ended": fact_events_pb2.ChildEnded(run_id=child, state=state.message(), ended_sequence=3, **fields)}


@pytest.fixture
def parent(rehearse: Any, plans: Any) -> Any:
    """A run that has started a child and waits for its end; one attempt more may follow."""
    child = plans.node("child", playbook=CHILD_PLAYBOOK, iteration_cap=2)
    return rehearse(plans.line(child, plans.node("z"))).go()


def test_a_run_waits_for_its_child_without_a_lease(parent: Any) -> None:
    assert parent.kinds()[-2:] == ["child_started", "run_paused"]
    assert (parent.state, parent.head.lease_id, parent.head.open_waits) == (RunState.PAUSED, None, 1)


def test_what_a_child_leaves_is_its_nodes_output(parent: Any, at: Any) -> None:
    parent.outside(fact_content=fact_events_pb2.FactContent(instance=at("child").message(), json=b'{"n":1}'))
    parent.fact(at("child"), **ended(at("child")))

    parent.lease().go()

    assert parent.walk.nodes["child"].output == b'{"n":1}'
    assert parent.state is RunState.COMPLETED


def test_a_child_that_fails_is_started_anew_with_another_id(parent: Any, at: Any) -> None:
    parent.fact(at("child"), **ended(at("child"), RunState.FAILED, cause=instances_pb2.FAILURE_CAUSE_EXIT_CODE))

    parent.lease().go()

    started = [event.child_started for event, _ in parent.log if event.HasField("child_started")]
    settled = next(event.node_settled for event, _ in parent.log if event.HasField("node_settled"))
    assert settled.cause == instances_pb2.FAILURE_CAUSE_CHILD_FAILED
    assert (settled.child.run_id, settled.child.cause) == (started[0].run_id, instances_pb2.FAILURE_CAUSE_EXIT_CODE)
    assert started[1].run_id != started[0].run_id


def test_a_child_that_a_person_cancelled_is_not_started_anew(parent: Any, at: Any) -> None:
    parent.fact(at("child"), **ended(at("child"), RunState.CANCELLED))

    parent.lease().go()

    assert parent.ended.cause == instances_pb2.FAILURE_CAUSE_CHILD_CANCELLED


def test_a_child_that_its_nodes_time_limit_ended_is_another_failure_than_one_that_missed_its_own_deadline(
    rehearse: Any, plans: Any, at: Any
) -> None:
    causes = []
    for limit in (Duration(seconds=5), None):
        child = plans.node("child", playbook=CHILD_PLAYBOOK, timeout=limit)
        run = rehearse(plans.line(child, plans.node("z"))).go()
        run.fact(at("child"), **ended(at("child"), RunState.TIMED_OUT, cause=instances_pb2.FAILURE_CAUSE_DEADLINE))
        causes.append(run.lease().go().ended.cause)
        assert run.violations() == []

    assert causes == [instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT, instances_pb2.FAILURE_CAUSE_CHILD_FAILED]


def test_a_child_that_ended_with_an_effect_in_doubt_is_not_started_anew(parent: Any, at: Any) -> None:
    cause = instances_pb2.FAILURE_CAUSE_DEADLINE
    parent.fact(at("child"), **ended(at("child"), RunState.TIMED_OUT, cause=cause, in_doubt=True))

    parent.lease().go()

    assert parent.ended.cause == instances_pb2.FAILURE_CAUSE_CHILD_IN_DOUBT
    assert parent.kinds().count("child_started") == 1


def test_an_end_that_nobody_waits_for_changes_nothing(parent: Any, at: Any) -> None:
    parent.outside(run_ended=run_events_pb2.RunEnded(state=RunState.INTERRUPTED.message()))
    parent.fact(at("child"), **ended(at("child"), stale=True))

    assert parent.state is RunState.INTERRUPTED
    assert parent.walk.untaken() == []


@pytest.mark.parametrize("again", [True, False])
def test_a_continued_parent_waits_for_the_children_that_it_names_and_starts_others_anew(
    parent: Any, at: Any, again: bool
) -> None:
    parent.outside(run_ended=run_events_pb2.RunEnded(state=RunState.INTERRUPTED.message()))
    child = run_events_pb2.AwaitedChild(instance=at("child").message(), run_id=child_run_id("run", at("child")))
    continued = run_events_pb2.RunContinued(answers_sequence=parent.head.ended_sequence, children=[child] * again)
    parent.outside(run_continued=continued)

    parent.lease().go()

    assert parent.started == (["child:1#1"] if again else ["child:1#1", "child:1#2"])
    assert (parent.state, parent.head.open_waits) == (RunState.PAUSED, 1)


@pytest.mark.parametrize(
    ("left", "expected"),
    [({"b": b'{"n":1,"m":1}', "c": b'{"n":2}'}, b'{"m":1,"n":2}'), ({"b": b'{"n": 1}'}, b'{"n": 1}'), ({}, b"")],
)
def test_a_child_leaves_what_its_last_nodes_have_as_output(
    rehearse: Any, plans: Any, left: dict[str, bytes], expected: bytes
) -> None:
    plan = plans.graph([plans.node(name) for name in "abc"], [("a", "b"), ("a", "c")])
    succeeded = (instances_pb2.OUTCOME_SUCCEEDED, 0)
    run = rehearse(
        plan,
        Step("child", 1),
        a=[(*succeeded, b'{"a":1}')],
        **{name: [(*succeeded, json)] for name, json in left.items()},
    )

    run.go()

    said = [event.run_output.json for event, _ in run.log if event.HasField("run_output")]
    digest = hashlib.sha256(expected).digest() if expected else b""
    assert said == ([expected] if expected else [])
    assert run.ended.output_digest == digest


Bend = Callable[[list[RecordedEvent]], None]


def child_log(parent: Any) -> list[RecordedEvent]:
    """The log of the parent's child, which has completed."""
    started = next(event.child_started for event, _ in parent.log if event.HasField("child_started"))
    path = started.instance.path
    lineage = instances_pb2.Lineage(lineage_id="line", prefix=path, prefix_redos=[0], parent_run_id="run")
    created = run_events_pb2.RunCreated(lineage=lineage, plan_digest=started.plan_digest)
    events = [
        {"run_created": created},
        {"run_input": run_events_pb2.RunInput(json=b"{}")},
        {"run_ended": run_events_pb2.RunEnded(state=RunState.CANCELLED.message())},
    ]
    log = [RecordedEvent(run_id=started.run_id, sequence=index + 1) for index in range(3)]
    for recorded, event in zip(log, events, strict=True):
        recorded.outside.SetInParent()
        recorded.event.CopyFrom(run_events_pb2.RunEvent(**event))
    return log


def tree_of(parent: Any, log: list[RecordedEvent]) -> list[str]:
    tree, child = Tree(), LogChecker(log[0].run_id, parent.plan, b"p" * 32)
    for recorded in log:
        child.take(recorded)
    tree.add(parent.checked())
    tree.add(child)
    return [f"{one.rule}: {one.message}" for one in tree.violations(at_rest=True)]


def test_a_parent_and_its_child_that_agree_have_nothing_against_them(parent: Any, at: Any) -> None:
    parent.fact(at("child"), **ended(at("child"), RunState.CANCELLED))

    assert tree_of(parent, child_log(parent)[:3]) == []


def other_prefix(log: list[RecordedEvent]) -> None:
    log[0].event.run_created.lineage.prefix[0].visit = 2


def other_lineage(log: list[RecordedEvent]) -> None:
    log[0].event.run_created.lineage.lineage_id = "another"


def other_end(log: list[RecordedEvent]) -> None:
    log[2].event.run_ended.state = RunState.INTERRUPTED.message()


@pytest.mark.parametrize(
    ("bend", "words"),
    [(other_prefix, "created otherwise"), (other_lineage, "created otherwise"), (other_end, "not in that log")],
)
def test_a_child_that_is_not_what_its_parent_says_is_noticed(parent: Any, at: Any, bend: Bend, words: str) -> None:
    log = child_log(parent)
    parent.fact(at("child"), **ended(at("child"), RunState.CANCELLED))
    bend(log)

    (found,) = tree_of(parent, log)

    assert found.startswith(Rule.TREE)
    assert words in found


def test_a_child_that_lives_under_a_parent_that_has_ended_is_noticed(parent: Any) -> None:
    log = child_log(parent)[:2]
    parent.outside(run_ended=run_events_pb2.RunEnded(state=RunState.CANCELLED.message()))

    (found,) = tree_of(parent, log)

    assert "is QUEUED under its parent, which is CANCELLED" in found


def test_an_end_that_counts_twice_is_noticed(parent: Any, at: Any) -> None:
    checker = parent.checked()
    end = ended(at("child"), RunState.CANCELLED)["child_ended"]
    checker.told += [end, end]  # the first one is void, where the parent had ended before it was taken up
    tree = Tree()
    tree.add(checker)
    told_twice = [one.message for one in tree.violations(at_rest=True) if "counts twice" in one.message]
    checker.heeded += [end, end]
    heeded_twice = [one.message for one in tree.violations(at_rest=True) if "counts twice" in one.message]

    assert (len(told_twice), len(heeded_twice)) == (0, 1)


@given(order=st.permutations(["left", "right", "gate"]))
def test_in_whatever_order_ends_and_decisions_arrive_the_walk_is_the_same(order: list[str]) -> None:
    """Facts are a set: a walk that has taken them all up does not tell in which order they came."""
    walks = []
    for arrival in (["left", "right", "gate"], order):
        walk = Walk(_three_waits())
        events = [*_waits(), *(_FACTS[name] for name in arrival)]
        for sequence, event in enumerate(events, 1):
            fold_event(walk, copy.deepcopy(event), sequence)
        taken = {instance(fact.recorded.instance).node for _, fact in walk.untaken()}
        walks.append((taken, {where.node: wait.fact_sequence > 0 for where, wait in walk.waits.items()}))

    assert walks[0] == walks[1]


def _three_waits() -> WalkPlan:
    children = [plans_pb2.PlanNode(id=name, playbook=CHILD_PLAYBOOK) for name in ("left", "right")]
    gate = plans_pb2.PlanNode(id="gate", approval=plans_pb2.ApprovalNode())
    return WalkPlan(plans_pb2.Plan(nodes=[*children, gate]))


def _waits() -> list[run_events_pb2.RunEvent]:
    events = []
    for name in ("left", "right"):
        where = Instance((Step(name, 1),), 1)
        started = fact_events_pb2.ChildStarted(instance=where.message(), run_id=child_run_id("run", where))
        events.append(run_events_pb2.RunEvent(child_started=started))
    gate = fact_events_pb2.WaitOpened(instance=Instance((Step("gate", 1),), 1).message())
    return [*events, run_events_pb2.RunEvent(wait_opened=gate)]


def _fact(name: str, **fact: Any) -> run_events_pb2.RunEvent:
    where = Instance((Step(name, 1),), 1)
    fact = fact or ended(where)
    return run_events_pb2.RunEvent(fact_recorded=fact_events_pb2.FactRecorded(instance=where.message(), **fact))


_FACTS = {"left": _fact("left"), "right": _fact("right"), "gate": _fact("gate", decision=approval_facts_pb2.Decision())}
