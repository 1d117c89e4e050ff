"""Which names a manifest says there are: inputs, and fields of nodes' outputs."""

from collections.abc import Collection
from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests import approvals
from perdure_control_plane.manifests.model import (
    AgenticNode,
    ApprovalNode,
    DeterministicNode,
    Manifest,
    MapNode,
    Node,
    WaitNode,
)

Fields = Collection[str] | None
"""All fields that an object can have, or None where it can have any."""

TEXT_OUTPUT: Final = ("exit_code", "stdout", "stderr")
"""What a command has as output that is text."""

MAP_OUTPUT: Final = ("results", "errors")
"""What a map has as output."""

ANSWER_OUTPUT: Final = ("text", "usage")
"""What an agent has as output where nothing says what its answer is like."""


def outputs(node: Node) -> Fields:
    """All fields that the output of a node can have; None where it can have any."""
    match node:
        case DeterministicNode(output="text"):
            return TEXT_OUTPUT
        case ApprovalNode():
            return approvals.outputs(node)
        case MapNode():
            return MAP_OUTPUT
        case WaitNode(signal=None):
            return ()
        case WaitNode(payload_schema=schema) if schema is not None:
            return _closed(schema)
        case AgenticNode(output_schema=None):
            return ANSWER_OUTPUT
        case AgenticNode(output_schema=schema) if schema is not None:
            return _closed(schema)
    return None


def inputs(manifest: Manifest) -> Collection[str] | None:
    """All inputs that are declared; None where there may be others, or none are declared at all."""
    if isinstance(manifest.inputs, list):
        return {given.name: None for given in manifest.inputs}
    return _closed(manifest.inputs)


def plain_inputs(manifest: Manifest) -> Collection[str] | None:
    """All inputs that an expression may read by name alone; None where there may be others.

    Where nothing is said of inputs there are none: whoever means one anyway says so with `inputs.`.
    """
    return inputs(manifest) if "inputs" in manifest.model_fields_set else ()


def _closed(schema: JsonObject) -> Collection[str] | None:
    """The fields of an object; None where its schema allows others."""
    fields = schema.get("properties", {})
    if schema.get("additionalProperties") is not False or "patternProperties" in schema:
        return None
    return fields if isinstance(fields, dict) else None
