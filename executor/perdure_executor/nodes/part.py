"""Part runs: what the node that is done there sees, as it is seen here; of a shard also its piece of the list."""

from perdure.runlog.json_objects import json_bytes
from perdure.runlog.parts import excerpt
from perdure.runlog.shards import given
from perdure.v1 import instances_pb2
from perdure_executor.node_context import NodeContext, Prepared, Spawn
from perdure_executor.results import Failed


def prepare(context: NodeContext) -> Prepared:
    """Takes what the node's expressions may read; they are evaluated in the part."""
    seen = excerpt(context.see(), [reading.keys for reading in context.node.part.reads])
    seen.update(given(context.walk, context.instance))
    try:
        size = len(json_bytes(seen))
    except ValueError as error:
        return Failed(instances_pb2.FAILURE_CAUSE_NOT_CANONICAL, f"what it sees has no JSON form: {error}")
    if size > context.equipment.max_payload_bytes:
        message = f"what it sees has {size} bytes; the limit is {context.equipment.max_payload_bytes}"
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, message)
    return Spawn(seen)
