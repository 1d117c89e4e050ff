"""JSON Schemas in a manifest: whether they are ones, and can be checked in bounded time."""

from collections.abc import Iterator

from perdure.runlog.json_objects import JsonObject
from perdure.schemas.check import SchemaCheck
from perdure.schemas.reading import SchemaInvalid
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.maps import placed
from perdure_control_plane.manifests.model import AgenticNode, ApprovalNode, Manifest, WaitNode


def schema_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Faults of all schemas."""
    if isinstance(manifest.inputs, dict):
        yield from _faults("inputs", manifest.inputs)
    for path, node, _ in placed(manifest):
        if isinstance(node, AgenticNode) and node.output_schema is not None:
            yield from _faults(f"{path}.output_schema", node.output_schema)
        elif isinstance(node, WaitNode) and node.payload_schema is not None:
            yield from _faults(f"{path}.payload_schema", node.payload_schema)
        elif isinstance(node, ApprovalNode) and node.content_schema is not None:
            yield from _faults(f"{path}.content_schema", node.content_schema)
        for word, contract in (("requires", node.requires), ("ensures", node.ensures)):
            if contract is not None and contract.json_schema is not None:
                yield from _faults(f"{path}.{word}.schema", contract.json_schema)
    for index, edge in enumerate(manifest.edges):
        if edge.contract is not None and edge.contract.json_schema is not None:
            yield from _faults(f"edges[{index}].contract.schema", edge.contract.json_schema)


def _faults(path: str, schema: JsonObject) -> Iterator[Diagnostic]:
    try:
        SchemaCheck(schema)
    except SchemaInvalid as error:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.place)
        yield Diagnostic(path + place, "SCHEMA_INVALID", str(error))
