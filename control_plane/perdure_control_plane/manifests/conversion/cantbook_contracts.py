"""Contracts of a cantbook's nodes and edges."""

from typing import Any

from perdure.runlog.decisions import FIELDS
from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.conversion.cantbook_graph import Edges, Order
from perdure_control_plane.manifests.conversion.draft import Draft, fields, items, word
from perdure_control_plane.manifests.declared import TEXT_OUTPUT

_OUTPUTS = {"deterministic": TEXT_OUTPUT, "approval": FIELDS}
"""All that nodes of a type have as output; an agent has what it is asked for."""


def asked_fields(nodes: list[JsonObject], edges: Edges, inputs: set[str]) -> dict[str, list[str]]:
    """By the id of an agent, the fields of its output that others, or its edges, need."""
    asked: dict[str, dict[str, None]] = {node["id"]: {} for node in nodes if node.get("type") == "agentic"}
    for node in nodes:
        needs = _object(node.get("requires"))
        asked.get(str(needs.get("from")), {}).update(dict.fromkeys(_names(needs.get("fields"))))
    for _, edge in edges:
        contract = _object(edge.get("contract"))
        wanted = [name for name in _names(contract.get("requires")) if name not in inputs]
        asked.get(edge["from"], {}).update(dict.fromkeys([*_names(contract.get("ensures")), *wanted]))
    closed = {node["id"] for node in nodes if isinstance(_object(node.get("ensures")).get("schema"), dict)}
    return {node: list(names) for node, names in asked.items() if names and node not in closed}


def requires(draft: Draft, path: str, node: JsonObject, order: Order) -> JsonObject:
    """What a node requires."""
    given = fields(node.get("requires") or {}, path)
    draft.leftover(path, given, ("from", "fields", "schema"))
    source, wanted = word(given.get("from")), _names(items(given.get("fields"), f"{path}.fields"))
    if source is not None and source not in order.before(node["id"]):
        draft.lost(f"{path}.from", "REFERENCE_NOT_BEFORE", f"no node {source!r} comes before {node['id']!r}")
        return {}
    made: JsonObject = {"from": source} if source is not None else {}
    kept = _known(draft, f"{path}.fields", order.kinds.get(str(source), ""), wanted)
    made |= {"fields": kept} if kept else {}
    return made | _schema(draft, path, given)


def ensures(draft: Draft, path: str, node: JsonObject) -> JsonObject:
    """What a node ensures."""
    given = fields(node.get("ensures") or {}, path)
    draft.leftover(path, given, ("outputFiles", "exitCode", "schema"))
    if given and node.get("type") == "approval":
        draft.lost(path, "CONTRACT_NOT_CHECKED", "what a person decides is not looked at when it is decided")
        return {}
    made = _schema(draft, path, given)
    if given.get("exitCode") is not None:
        if node.get("type") == "deterministic":
            made["exit_code"] = given["exitCode"]
        else:
            draft.lost(f"{path}.exitCode", "CONTRACT_IMPOSSIBLE", "only a command has an exit code")
    files = []
    for index, name in enumerate(items(given.get("outputFiles"), f"{path}.outputFiles")):
        if str(name).startswith("/") or ".." in str(name).split("/"):
            reason = "a promised file is below the node's own directory"
            draft.lost(f"{path}.outputFiles[{index}]", "PATH_OUTSIDE", reason)
        else:
            files.append(str(name))
    return made | ({"output_files": files} if files else {})


def edge_contract(draft: Draft, path: str, edge: JsonObject, order: Order) -> JsonObject:
    """What is agreed on an edge."""
    given = fields(edge.get("contract") or {}, path)
    draft.leftover(path, given, ("requires", "ensures"))
    left = _known(draft, f"{path}.ensures", order.kinds.get(edge["from"], ""), _names(given.get("ensures")))
    made: JsonObject = {"requires": _names(given["requires"])} if given.get("requires") else {}
    return made | ({"ensures": left} if left else {})


def _schema(draft: Draft, path: str, given: JsonObject) -> JsonObject:
    schema = given.get("schema")
    if isinstance(schema, dict):
        return {"schema": schema}
    if schema is not None:
        reason = f"{schema!r} names a schema that stands elsewhere; write it out here"
        draft.lost(f"{path}.schema", "SCHEMA_NAMED", reason)
    return {}


def _known(draft: Draft, path: str, kind: str, wanted: list[str]) -> list[str]:
    """Of fields those that the output of such a node can have."""
    known = _OUTPUTS.get(kind)
    if known is None:
        return wanted
    for index, name in enumerate(wanted):
        if name not in known:
            reason = f"a node of the type {kind!r} has no output {name!r} here; it has {', '.join(known)}"
            draft.lost(f"{path}[{index}]", "OUTPUT_UNKNOWN", reason)
    return [name for name in wanted if name in known]


def _object(given: Any) -> JsonObject:
    return given if isinstance(given, dict) else {}


def _names(given: Any) -> list[str]:
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
