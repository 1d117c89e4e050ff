"""Whether what people let pass is still what it was, when the first effect behind it is about to begin."""

from collections.abc import Iterator

from perdure.runlog.instances import instance
from perdure.runlog.intents import Start
from perdure.runlog.node_walk import Phase
from perdure.runlog.walk import Walk
from perdure.v1 import approval_facts_pb2


def gates_before_first_effect(walk: Walk, start: Start) -> Iterator[str]:
    """Approvals that people let pass and behind which nothing that has an effect has begun since, whatever becomes of that.

    What a plan lets pass for a failure was decided by nobody.
    """
    for gate in walk.plan.gates_before_effect.get(start.node.id, ()):
        state = walk.nodes[gate]
        if state.phase is Phase.SUCCEEDED and state.decision is not None and not (state.excused or state.acted_by):
            yield gate


def voiding_faults(walk: Walk, voided: approval_facts_pb2.ApprovalVoided, due: list[Start]) -> Iterator[str]:
    """Whether a decision may be found void here. `due` are the nodes that may begin."""
    where = instance(voided.instance)
    looked_at = {gate for start in due for gate in gates_before_first_effect(walk, start)}
    if where.place not in looked_at or walk.instance(where.place) != where:
        yield f"{where} was found void, and nothing that has an effect was to begin behind it"
    if voided.frozen_digest == voided.present_digest:
        yield f"{where} was found void, and is what it was"
