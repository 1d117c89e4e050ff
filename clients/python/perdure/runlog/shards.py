"""Shards: a list that is too long for one run is done piece by piece, each by a part that goes over its own piece.

A shard is a place of its map's walk as an item is, named after its first item. Where the map may fail, its shards are done
one after the other, so that nothing is begun after the failure that is one too many. Where any number of items may fail, as
many are done at once as items may be under way, and divide these among them.
"""

import json
from typing import Any, Final, NamedTuple

from perdure.runlog.instances import Instance, item_place
from perdure.runlog.json_objects import JsonObject, json_bytes
from perdure.runlog.node_walk import Phase
from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2, node_events_pb2

ITEMS: Final = "[items]"
"""What a shard is over, in the input of the part that does it. No expression has such a name."""

LEFT: Final = "[left]"
"""What an earlier attempt at a shard has left, by indexes in the whole list: outputs of the items that are `done`, and the
`redos` of the others."""


def at_once(walk: Walk, node: str) -> int:
    """How many items of a map, or shards, may be under way."""
    spec = walk.plan.nodes[node].map
    if walk.is_sharded(node):
        return 1 if spec.HasField("tolerated_failures") else spec.max_parallel
    shard = _own(walk)
    return spec.max_parallel if shard is None else shard.max_parallel


def tolerated(walk: Walk, node: str) -> int | None:
    """How many items of a map may fail for good before it does; None for any number."""
    spec = _own(walk) or walk.plan.nodes[node].map
    return spec.tolerated_failures if spec.HasField("tolerated_failures") else None


def _own(walk: Walk) -> instances_pb2.MapShard | None:
    """What of a map is for this run; None where it does no shard."""
    return walk.part.shard if walk.part is not None and walk.part.HasField("shard") else None


def failed_before(walk: Walk, node: str) -> int:
    """Items that have failed for good in shards that have completed."""
    return sum(walk.nodes[place].failed_items for place in walk.items(node))


def share(walk: Walk, where: Instance) -> instances_pb2.MapShard:
    """What of a map is for a shard that begins now."""
    node = where.node
    spec, shards = walk.plan.nodes[node].map, walk.items(node)
    limit = tolerated(walk, node)
    if limit is not None:
        left = limit - failed_before(walk, node)
        return instances_pb2.MapShard(max_parallel=spec.max_parallel, tolerated_failures=left)
    together = min(at_once(walk, node), len(shards))
    more = spec.max_parallel % together if together == len(shards) else 0
    return instances_pb2.MapShard(max_parallel=spec.max_parallel // together + (shards.index(where.place) < more))


def given(walk: Walk, where: Instance) -> JsonObject:
    """What the part that does a shard is given beside what its items see; nothing for any other part."""
    if not where.path[-1].item:
        return {}
    open_map = walk.maps[where.node]
    first, size = where.path[-1].item - 1, open_map.begun.shard_size
    found: JsonObject = {ITEMS: json.loads(open_map.items)[first : first + size]}
    left = walk.nodes[where.place].output
    if left:
        found[LEFT] = json.loads(left)
    return found


class Piece(NamedTuple):
    """What the part that does a shard goes over."""

    items: list[Any]
    first: int
    """Index of the first of them in the whole list."""
    done: list[int]
    """Indexes of those that an earlier attempt has done, in order."""
    redos: list[node_events_pb2.ItemRedo]
    """How often "retry as new" was said of others."""


def own_piece(walk: Walk) -> Piece | None:
    """What this run goes over, where it does a shard; None where it does not."""
    if walk.part is None or not walk.part.HasField("shard"):
        return None
    told = json.loads(walk.input)
    left = told.get(LEFT, {"done": {}, "redos": {}})
    redos = [node_events_pb2.ItemRedo(index=int(index), redo=redo) for index, redo in left["redos"].items()]
    return Piece(told[ITEMS], walk.part.instance.path[-1].item - 1, sorted(map(int, left["done"])), redos)


def left_over(walk: Walk) -> bytes:
    """JSON of what a shard that comes to no good end has left, for the next attempt at it; empty where it is no shard."""
    if _own(walk) is None:
        return b""
    places = [
        (index, walk.nodes[place])
        for node, open_map in walk.maps.items()
        for index, place in enumerate(walk.items(node), open_map.begun.first_item)
    ]
    done = (b'"%d":%s' % (index, state.output or b"{}") for index, state in places if state.phase is Phase.SUCCEEDED)
    redos = (b'"%d":%d' % (index, state.redo) for index, state in places if state.redo)
    return b'{"done":{' + b",".join(done) + b'},"redos":{' + b",".join(redos) + b"}}"


def take_over(walk: Walk, begun: node_events_pb2.MapBegun, node: str) -> None:
    """Puts down what an earlier attempt at a shard has left."""
    outputs = json.loads(walk.input).get(LEFT, {}).get("done", {}) if begun.done else {}
    for index in begun.done:
        state = walk.nodes[item_place(node, index)]
        state.phase = Phase.SUCCEEDED
        if str(index) in outputs:
            state.output = json_bytes(outputs[str(index)])
    for again in begun.redos:
        walk.nodes[item_place(node, again.index)].redo = again.redo
