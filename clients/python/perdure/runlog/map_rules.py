"""What must be true of maps: what is wrong with a beginning, and whether an end is the one that is due."""

import json
from collections.abc import Iterator

from perdure.runlog.instances import instance
from perdure.runlog.intents import Record, Start
from perdure.runlog.interpreter import decide_unaware
from perdure.runlog.plans import MAX_ITEMS, MAX_LISTED
from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent


def beginning_faults(walk: Walk, begun: node_events_pb2.MapBegun) -> Iterator[str]:
    """Whether a map was due to begin, and, for a further attempt of a visit, whether it is over the same list."""
    where = instance(begun.instance)
    if where.node in walk.maps:
        if not any(event.map_begun == begun for event in _due(walk)):
            yield f"{where} began again, and that was not due, or it is over another list than before"
        return
    starts = (intent for intent in decide_unaware(walk) if isinstance(intent, Start))
    if not any(start.instance == where and start.node.HasField("map") for start in starts):
        yield f"{where} is no map that comes next"
    most = MAX_LISTED if begun.shard_size else MAX_ITEMS
    if not 0 <= begun.count <= most:
        yield f"{where} is over {begun.count} items; it may be over {most}"
    if begun.shard_size not in (0, MAX_ITEMS) or (
        begun.shard_size and not walk.plan.nodes[where.node].map.HasField("shard")
    ):
        yield f"{where} is done in shards of another size, or may not be done in any"
    own = walk.part.instance.path[-1].item - 1 if walk.part is not None and walk.part.HasField("shard") else 0
    items = range(own, own + begun.count)
    left = [*begun.done, *(again.index for again in begun.redos)]
    if begun.first_item != own or any(index not in items for index in left) or (left and walk.part is None):
        yield f"{where} is over other items than its shard has"


def count_faults(begun: node_events_pb2.MapBegun, items: bytes | None) -> Iterator[str]:
    """Whether the list is as long as the map says. `items` is what is recorded of it; None where nothing is."""
    listed = None if items is None else json.loads(items)
    if items is not None and not (isinstance(listed, list) and len(listed) == begun.count):
        yield f"{instance(begun.instance)} says that it is over {begun.count} items; what it is over is no such list"


def ends(walk: Walk, settlement: node_events_pb2.NodeSettled) -> bool:
    """Whether a map under way ends like this here: its items are over, and its output has theirs in their order."""
    due = [event.node_settled for event in _due(walk) if event.node_settled.instance == settlement.instance]
    if any(_gist(one) == _gist(settlement) for one in due):
        return True
    # How much a map may leave is a setting, which no log has.
    too_large = settlement.cause == instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE
    return too_large and any(one.outcome == instances_pb2.OUTCOME_SUCCEEDED for one in due)


def _gist(settlement: node_events_pb2.NodeSettled) -> tuple[int, int, bytes]:
    return settlement.outcome, settlement.cause, settlement.output_digest


def _due(walk: Walk) -> list[RunEvent]:
    records = (intent for intent in decide_unaware(walk) if isinstance(intent, Record))
    return [event for record in records for event in record.events]
