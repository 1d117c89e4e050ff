"""Which steps of a plan the walk takes."""

from collections.abc import Iterator
from enum import Enum, auto

from perdure.runlog.node_walk import Phase
from perdure.runlog.walk import Walk
from perdure.v1 import plans_pb2


class Way(Enum):
    """What becomes of a step."""

    UNDECIDED = auto()
    TAKEN = auto()
    NOT_TAKEN = auto()
    """Another was chosen, or it is for a failure that did not happen; other steps may lead to the same node."""
    CUT_OFF = auto()
    """The node that it leaves has failed, or would have come after one that has, and the plan goes another way, on which
    the node that it leads to does not lie: that node is not begun, whatever else leads to it."""


def way(walk: Walk, before: str, after: str) -> Way:
    """What becomes of the step between two nodes."""
    state = walk.nodes[before]
    match state.phase:
        case Phase.SUCCEEDED if before in walk.plan.choices:
            return Way.TAKEN if state.chosen == after else Way.NOT_TAKEN
        case Phase.SUCCEEDED:
            return Way.TAKEN if walk.plan.follows_success(before, after) else Way.NOT_TAKEN
        case Phase.PASSED_OVER:
            return Way.NOT_TAKEN
        case Phase.TAKEN if state.chosen == after:
            return Way.TAKEN
        case Phase.TAKEN | Phase.CUT_OFF:
            cut_off = walk.plan.follows_success(before, after) and any(missed(walk, before, after))
            return Way.CUT_OFF if cut_off else Way.NOT_TAKEN
        case _:
            return Way.UNDECIDED


def missed(walk: Walk, before: str, after: str) -> Iterator[str]:
    """Where the walk goes on after failures that keep the step between two nodes from being taken, and misses the second."""
    for target in walk.nodes[before].instead:
        if after not in walk.plan.behind(target):
            yield target


def contracts_before(walk: Walk, node: str) -> list[plans_pb2.PlanEdge]:
    """Of the steps to a node that have a contract, those that the walk took."""
    steps = walk.plan.contracts.get(node)
    if not steps:
        return []
    return [step for step in steps if way(walk, step.source, node) is Way.TAKEN and _is_that(walk, step)]


def _is_that(walk: Walk, step: plans_pb2.PlanEdge) -> bool:
    """Of two steps between the same nodes, one for success and one for failure, the one that was taken."""
    return step.HasField("on") == (walk.nodes[step.source].phase is Phase.TAKEN)
