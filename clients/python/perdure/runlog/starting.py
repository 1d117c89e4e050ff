"""The intent to begin an attempt of a node."""

from perdure.runlog.instances import Instance, step_at
from perdure.runlog.intents import Start
from perdure.runlog.walk import Walk


def begin(walk: Walk, place: str, visit: int, attempt: int, redo: int, delay: float = 0.0) -> Start:
    """Begins an attempt, `delay` seconds from now."""
    path = (*walk.prefix, step_at(place, visit))
    return Start(walk.plan.spec(place), Instance(path, attempt), redo, delay)
