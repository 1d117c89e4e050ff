"""Maps: the list that a node is done for, evaluated once."""

from typing import Any

from perdure.runlog.json_objects import TooDeep, bounded_json, json_bytes
from perdure.runlog.plans import MAX_ITEMS, MAX_LISTED
from perdure.runlog.shards import own_piece
from perdure.v1 import instances_pb2
from perdure_executor.expressions import value_of
from perdure_executor.node_context import Mapped, NodeContext, Prepared
from perdure_executor.results import Failed


def prepare(context: NodeContext) -> Prepared:
    """Evaluates the list, and checks that it is one that can be gone over. The list of a shard is given."""
    piece = own_piece(context.walk)
    if piece is not None:
        items, count = json_bytes(piece.items), len(piece.items)
        return Mapped(count, items, piece.first, done=piece.done, redos=piece.redos)
    items = value_of(context.node.map.items, context.see())
    fault = _fault(items, MAX_LISTED if context.node.map.HasField("shard") else MAX_ITEMS)
    if fault:
        return Failed(instances_pb2.FAILURE_CAUSE_ITEMS_INVALID, fault)
    try:
        encoded = bounded_json(items)
    except TooDeep as error:
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, f"the list {error}")
    except ValueError as error:
        return Failed(instances_pb2.FAILURE_CAUSE_NOT_CANONICAL, f"the list has no JSON form: {error}")
    if len(encoded) > context.equipment.max_payload_bytes:
        message = f"the list has {len(encoded)} bytes; the limit is {context.equipment.max_payload_bytes}"
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, message)
    return Mapped(len(items), encoded, shard_size=MAX_ITEMS if len(items) > MAX_ITEMS else 0)


def _fault(items: Any, most: int) -> str:
    if not isinstance(items, list):
        return f"items must be a list, and is {_KINDS.get(type(items), type(items).__name__)}"
    return f"it is over {len(items)} items; the limit is {most}" if len(items) > most else ""


_KINDS = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    dict: "an object",
    type(None): "null",
}
