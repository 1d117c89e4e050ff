"""The intent to begin an attempt of a node."""

from perdure.runlog.instances import Instance, Step
from perdure.runlog.intents import Start
from perdure.runlog.walk import Walk


def begin(walk: Walk, node: str, visit: int, attempt: int, redo: int, delay: float = 0.0) -> Start:
    """Begins an attempt, `delay` seconds from now."""
    path = (*walk.prefix, Step(node, visit))
    return Start(walk.plan.nodes[node], Instance(path, attempt), redo, delay)
