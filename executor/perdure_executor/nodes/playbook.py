"""Child runs: what the other playbook is given, checked against what it asks for."""

import json

from perdure.runlog.json_objects import TooDeep, bounded_json
from perdure.secrets.paths import unreferenced
from perdure.v1 import instances_pb2
from perdure_executor.expressions import render_stored
from perdure_executor.node_context import NodeContext, Prepared, Spawn
from perdure_executor.results import CannotPrepare, Failed
from perdure_executor.untrusted_schema import UntrustedSchema


def prepare(context: NodeContext) -> Prepared:
    """Renders the child's input, and checks it."""
    spec = context.node.playbook
    value = render_stored(context.node.inputs, context.see) if context.node.inputs else {}
    try:
        size = len(bounded_json(value))
    except TooDeep as error:
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, f"its input {error}")
    except ValueError as error:
        raise CannotPrepare(
            instances_pb2.FAILURE_CAUSE_NOT_CANONICAL, f"its input has no JSON form: {error}"
        ) from error
    if size > context.equipment.max_payload_bytes:
        message = f"its input has {size} bytes; the limit is {context.equipment.max_payload_bytes}"
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, message)
    for place, fault in unreferenced(value, (one.keys for one in spec.sensitive_inputs)):
        message = f"{spec.playbook_id} {spec.version} does not take this input: {'.'.join(place)} {fault}"
        return Failed(instances_pb2.FAILURE_CAUSE_INPUT_INVALID, message)
    fault = UntrustedSchema(json.loads(spec.input_schema)).fault(value) if spec.input_schema else ""
    if fault:
        message = f"{spec.playbook_id} {spec.version} does not take this input: {fault}"
        return Failed(instances_pb2.FAILURE_CAUSE_INPUT_INVALID, message)
    return Spawn(value)
