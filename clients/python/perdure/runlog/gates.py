"""Whether what people let pass is still what it was, when the first effect behind it is about to begin."""

from collections.abc import Iterator

from perdure.runlog.instances import instance
from perdure.runlog.intents import Start
from perdure.runlog.node_walk import Phase
from perdure.runlog.walk import Walk
from perdure.v1 import approval_facts_pb2

_NOT_BEGUN = frozenset({Phase.NOT_REACHED, Phase.PASSED_OVER, Phase.CUT_OFF})


def gates_before_first_effect(walk: Walk, start: Start) -> Iterator[str]:
    """Approvals that people let pass and behind which nothing that has an effect has begun yet, but for what is to start.

    An item of a map is none: the map itself was looked at when it began.
    """
    node = start.node.id
    if start.instance.attempt > 1 or start.instance.path[-1].item:
        return
    for gate in walk.plan.gates_before_effect.get(node, ()):
        others = (other for other in walk.plan.effects_behind[gate] if other != node)
        if walk.nodes[gate].phase is Phase.SUCCEEDED and all(walk.nodes[one].phase in _NOT_BEGUN for one in others):
            yield gate


def voiding_faults(walk: Walk, voided: approval_facts_pb2.ApprovalVoided, due: list[Start]) -> Iterator[str]:
    """Whether a decision may be found void here. `due` are the nodes that may begin."""
    where = instance(voided.instance)
    looked_at = {gate for start in due for gate in gates_before_first_effect(walk, start)}
    if where.place not in looked_at or walk.instance(where.place) != where:
        yield f"{where} was found void, and nothing that has an effect was to begin behind it"
    if voided.frozen_digest == voided.present_digest:
        yield f"{where} was found void, and is what it was"
