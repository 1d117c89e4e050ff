"""The effect ledger: what has been done to the world outside, and what would be done twice from an earlier position."""

from collections.abc import Callable
from typing import Any

from perdure.runlog.ledger import EffectLedger
from perdure.runlog.plans import WalkPlan
from perdure.v1 import fact_events_pb2, instances_pb2, plans_pb2
from tests.unit.runlog.conftest import Rehearsal

NONE, IDEMPOTENT = instances_pb2.EFFECT_NONE, instances_pb2.EFFECT_IDEMPOTENT
ONCE = instances_pb2.EFFECT_AT_MOST_ONCE


def node(name: str, effect: instances_pb2.Effect.ValueType) -> plans_pb2.PlanNode:
    return plans_pb2.PlanNode(id=name, effect=effect, function=plans_pb2.FunctionNode())


def begun(rehearse: Callable[..., Rehearsal], *effects: instances_pb2.Effect.ValueType) -> Rehearsal:
    """A line of nodes with these effects."""
    names = [f"n{number}" for number in range(len(effects))]
    nodes = [node(name, effect) for name, effect in zip(names, effects, strict=True)]
    edges = [plans_pb2.PlanEdge(source=one, target=two) for one, two in zip(names, names[1:], strict=False)]
    return rehearse(WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, jump_limit=1)))


def ledger_of(run: Rehearsal) -> EffectLedger:
    ledger = EffectLedger()
    for recorded in run.recorded:
        ledger.take(recorded)
    return ledger


def position(run: Rehearsal, kind: str, number: int = 1) -> int:
    """Sequence of the first, second, ... event of a kind."""
    return [at for at, found in enumerate(run.kinds(), 1) if found == kind][number - 1]


def test_a_position_is_safe_until_an_effect_begins_and_again_when_all_are_over(rehearse: Any) -> None:
    run = begun(rehearse, NONE, ONCE, IDEMPOTENT).go()
    ledger = ledger_of(run)

    first, second = (ledger.safety_at(position(run, "node_settled", number)) for number in (1, 2))
    end = ledger.safety_at(len(run.log))
    inside = ledger.safety_at(position(run, "node_started", 2))

    assert [str(where) for where in ledger.entries] == ["n1:1#1", "n2:1#1"]
    assert (first.safe, first.repeats, first.guarded_repeats) == (False, 2, 1)
    assert (second.safe, second.repeats, second.guarded_repeats) == (False, 1, 0)
    assert ([str(where) for where in inside.unsettled], inside.repeats) == (["n1:1#1"], 1)
    assert end.safe


def test_while_somebody_holds_the_run_no_position_is_safe(rehearse: Any) -> None:
    run = begun(rehearse, NONE, NONE).go(hold_work=True)

    safety = ledger_of(run).safety_at(len(run.log))

    assert (safety.safe, safety.held, safety.unsettled, safety.repeats) == (False, True, (), 0)
    run.go()


def test_an_effect_in_doubt_is_not_over_until_somebody_has_said_what_became_of_it(rehearse: Any) -> None:
    run = begun(rehearse, ONCE).go(hold_work=True)
    (start,) = run.running
    run.lose()
    doubted = ledger_of(run)
    kind = fact_events_pb2.RESOLUTION_KIND_RETRY
    answered = run.fact(start.instance, resolution=fact_events_pb2.EffectResolution(kind=kind, reason="gone"))
    run.lease().go()
    ledger = ledger_of(run)

    first, again = ledger.entries.values()
    assert (doubted.entries[start.instance].doubted_sequence, doubted.safety_at(answered - 1).safe) == (
        answered - 1,
        False,
    )
    assert (first.resolution_sequence, first.over_sequence, first.settled_sequence) == (answered, answered, 0)
    assert (again.idempotency_key != first.idempotency_key, again.settled_sequence > 0) == (True, True)
    assert ledger.safety_at(len(run.log)).safe


def test_a_repeatable_effect_that_was_lost_begins_again_under_the_same_key(rehearse: Any) -> None:
    run = begun(rehearse, IDEMPOTENT).go(hold_work=True)
    run.lose()
    lost = ledger_of(run)
    run.lease().go()

    (before,), (after,) = lost.entries.values(), ledger_of(run).entries.values()
    assert (before.lost, after.lost, after.beginnings, after.lease_id) == (True, False, 2, "lease-3")
    assert before.idempotency_key == after.idempotency_key
