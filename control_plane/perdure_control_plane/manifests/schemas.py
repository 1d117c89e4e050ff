"""JSON Schemas in a manifest: whether they are ones, and hold everything that they refer to."""

from collections.abc import Iterator
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.maps import placed
from perdure_control_plane.manifests.model import AgenticNode, Manifest, WaitNode

MAX_COMPLEX_ITEMS: Final = 100
"""Most lists and objects in one list of a schema; whether such a list repeats an item takes the square of its length."""


def schema_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Faults of all schemas."""
    if isinstance(manifest.inputs, dict):
        yield from _faults("inputs", manifest.inputs)
    for path, node, _ in placed(manifest):
        if isinstance(node, AgenticNode) and node.output_schema is not None:
            yield from _faults(f"{path}.output_schema", node.output_schema)
        elif isinstance(node, WaitNode) and node.payload_schema is not None:
            yield from _faults(f"{path}.payload_schema", node.payload_schema)
        for word, contract in (("requires", node.requires), ("ensures", node.ensures)):
            if contract is not None and contract.json_schema is not None:
                yield from _faults(f"{path}.{word}.schema", contract.json_schema)
    for index, edge in enumerate(manifest.edges):
        if edge.contract is not None and edge.contract.json_schema is not None:
            yield from _faults(f"edges[{index}].contract.schema", edge.contract.json_schema)


def _faults(path: str, schema: JsonObject) -> Iterator[Diagnostic]:
    if _has_long_lists(schema):
        reason = f"a list in it holds more than {MAX_COMPLEX_ITEMS} lists and objects"
        yield Diagnostic(path, "SCHEMA_INVALID", reason)
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield Diagnostic(path, "SCHEMA_INVALID", f"it is not JSON Schema: {error.message}")
        return
    for reference in _unresolved(schema):
        reason = f"it refers to {reference!r}, which it does not hold; a schema refers to nothing outside itself"
        yield Diagnostic(path, "SCHEMA_INVALID", reason)


def _has_long_lists(value: Any) -> bool:
    match value:
        case dict():
            return any(map(_has_long_lists, value.values()))
        case list():
            complex_items = sum(isinstance(item, (list, dict)) for item in value)
            return complex_items > MAX_COMPLEX_ITEMS or any(map(_has_long_lists, value))
    return False


def _unresolved(schema: JsonObject) -> Iterator[str]:
    root = DRAFT202012.create_resource(schema)
    registry: Registry[Any] = Registry().with_resource(root.id() or "", root)
    waiting = [(root, registry.resolver_with_root(root))]
    while waiting:
        resource, resolver = waiting.pop()
        contents = resource.contents if isinstance(resource.contents, dict) else {}
        for reference in (contents[keyword] for keyword in ("$ref", "$dynamicRef") if keyword in contents):
            try:
                resolver.lookup(reference)
            except Unresolvable:
                yield reference
        waiting += [(inner, resolver.in_subresource(inner)) for inner in resource.subresources()]
