"""Whether a plan does what must not be repeated, and asks nobody."""

from perdure.runlog.effects import GUARDED
from perdure.runlog.plans import every_node, worst_effect
from perdure.v1 import plans_pb2


def acts_unasked(plan: plans_pb2.Plan) -> bool:
    """Whether an effect of a plan must not be repeated, and none of its nodes asks a person."""
    nodes = list(every_node(plan))
    return any(worst_effect(node) in GUARDED for node in nodes) and not any(node.HasField("approval") for node in nodes)
