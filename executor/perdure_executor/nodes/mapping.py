"""Maps: the list that a node is done for, evaluated once."""

from perdure.runlog.json_objects import json_bytes
from perdure.runlog.plans import MAX_ITEMS
from perdure.v1 import instances_pb2
from perdure_executor.expressions import value_of
from perdure_executor.node_context import Mapped, NodeContext, Prepared
from perdure_executor.results import Failed


def prepare(context: NodeContext) -> Prepared:
    """Evaluates the list, and checks that it is one that can be gone over."""
    items = value_of(context.node.map.items, context.see())
    if not isinstance(items, list):
        message = f"items must be a list, and is {_KINDS.get(type(items), type(items).__name__)}"
        return Failed(instances_pb2.FAILURE_CAUSE_ITEMS_INVALID, message)
    if len(items) > MAX_ITEMS:
        message = f"it is over {len(items)} items; the limit is {MAX_ITEMS}"
        return Failed(instances_pb2.FAILURE_CAUSE_ITEMS_INVALID, message)
    try:
        encoded = json_bytes(items)
    except ValueError as error:
        return Failed(instances_pb2.FAILURE_CAUSE_NOT_CANONICAL, f"the list has no JSON form: {error}")
    if len(encoded) > context.equipment.max_payload_bytes:
        message = f"the list has {len(encoded)} bytes; the limit is {context.equipment.max_payload_bytes}"
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, message)
    return Mapped(len(items), encoded)


_KINDS = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    dict: "an object",
    type(None): "null",
}
