"""The intents to begin an attempt of a node."""

from perdure.runlog.instances import Instance, step_at
from perdure.runlog.intents import Record, Start
from perdure.runlog.walk import Walk
from perdure.v1 import node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent


def begin(walk: Walk, place: str, visit: int, attempt: int, redo: int, delay: float = 0.0) -> Start:
    """Begins an attempt, `delay` seconds from now."""
    path = (*walk.prefix, step_at(place, visit))
    return Start(walk.plan.spec(place), Instance(path, attempt), redo, delay)


def begin_again(walk: Walk, node: str) -> Record:
    """Begins another attempt of a map in the same visit: over the same list, for what has not succeeded."""
    begun = node_events_pb2.MapBegun()
    begun.CopyFrom(walk.maps[node].begun)
    begun.instance.attempt = walk.nodes[node].attempt + 1
    return Record((RunEvent(map_begun=begun),))
