"""Cantbooks: playbooks of one line of agents, commands and approvals, with counted attempts and jumps back."""

from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.conversion.cantbook_contracts import asked_fields, edge_contract, ensures, requires
from perdure_control_plane.manifests.conversion.cantbook_failures import escalation, take_failures
from perdure_control_plane.manifests.conversion.cantbook_graph import Order
from perdure_control_plane.manifests.conversion.cantbook_inputs import Inputs
from perdure_control_plane.manifests.conversion.draft import (
    MADE_VERSION,
    Draft,
    NotConvertible,
    fields,
    items,
    named,
    text,
    word,
)

_TOP: Final = ("version", "name", "description", "inputs", "nodes", "edges", "error_handlers")
_EVERY_NODE: Final = ("id", "type", "description", "depends", "requires", "ensures", "on_failure")
_OWN: Final = {
    "agentic": ("skill", "agent", "role", "inputs"),
    "deterministic": ("command", "args", "cwd", "env", "timeout_ms"),
    "approval": ("prompt", "policy"),
}


def convert(values: JsonObject) -> Draft:
    """Makes a manifest of a cantbook. Raises NotConvertible."""
    if values.get("version") != "1.0":
        raise NotConvertible("version", "VERSION_UNKNOWN", 'a cantbook has the version "1.0", as text')
    draft = Draft()
    draft.leftover("", values, _TOP)
    name = text(values.get("name"), "name")
    nodes = [fields(node, f"nodes[{index}]") for index, node in enumerate(items(values.get("nodes"), "nodes"))]
    if not nodes:
        raise NotConvertible("nodes", "FIELD_MISSING", "there are no nodes")
    description = str(values.get("description") or "")
    draft.head |= {"playbook_id": named(draft, name, "name"), "version": MADE_VERSION, "title": " ".join(name.split())}
    draft.head["objective"] = description.strip().splitlines()[0] if description.strip() else f"Do what {name} says"
    draft.head |= {"description": description} if description else {}
    inputs = Inputs(draft, items(values.get("inputs"), "inputs"))
    draft.head |= {"inputs": inputs.declared} if inputs.declared else {}
    order = Order(draft, nodes, items(values.get("edges"), "edges"))
    asked = asked_fields(nodes, order.edges, inputs.names)
    for index, node in enumerate(nodes):
        if node["id"] in order.reached:
            draft.nodes.append(_node(draft, f"nodes[{index}]", node, (inputs, order, asked.get(node["id"], []))))
    for index, edge in order.edges:
        agreed = edge_contract(draft, f"edges[{index}].contract", edge, order)
        made = {"from": edge["from"], "to": edge["to"], **order.guard(index, edge)}
        draft.edges.append(made | ({"contract": agreed} if agreed else {}))
    take_failures(draft, items(values.get("error_handlers"), "error_handlers"), nodes)
    return draft


Given = tuple[Inputs, Order, list[str]]


def _node(draft: Draft, path: str, node: JsonObject, given: Given) -> JsonObject:
    inputs, order, asked = given
    kind = word(node.get("type"))
    if kind not in _OWN:
        raise NotConvertible(
            f"{path}.type", "NODE_TYPE_UNKNOWN", f"{node.get('type')!r} is no type of node of a cantbook"
        )
    draft.leftover(path, node, (*_EVERY_NODE, *_OWN[kind]))
    made: JsonObject = {"id": node["id"], "type": kind}
    made |= {"description": str(node["description"])} if node.get("description") else {}
    depends = [other for other in items(node.get("depends"), f"{path}.depends") if other in order.reached]
    made |= {"depends": depends} if depends else {}
    match kind:
        case "agentic":
            made |= _agentic(draft, path, node, inputs, asked)
        case "deterministic":
            made |= _command(draft, path, node, inputs)
        case _:
            made |= _approval(draft, path, node, inputs)
    needs = requires(draft, f"{path}.requires", node, order)
    made |= {"requires": needs} if needs else {}
    _promise(draft, f"{path}.ensures", node, made)
    return made | _on_failure(draft, f"{path}.on_failure", node, order)


def _promise(draft: Draft, path: str, node: JsonObject, made: JsonObject) -> None:
    promised = ensures(draft, path, node)
    if made["type"] == "agentic" and "schema" in promised:
        schema = promised.pop("schema")
        made["output_schema"] = schema
        draft.changed(f"{path}.schema", "ASKED_FOR", "the agent is asked for an answer of this schema", node["id"])
    if promised.get("exit_code"):
        made["success_exit_codes"] = [promised["exit_code"]]
    if promised:
        made["ensures"] = promised


def _agentic(draft: Draft, path: str, node: JsonObject, inputs: Inputs, asked: list[str]) -> JsonObject:
    made: JsonObject = {key: str(node[key]) for key in ("agent", "skill") if node.get(key)}
    if not made:
        raise NotConvertible(path, "FIELD_MISSING", "an agentic node names a skill or an agent")
    made |= {"role": str(node["role"])} if node.get("role") else {}
    who = node.get("skill") or node.get("agent")
    made["prompt"] = str(node.get("description") or f"Do the work of {who} for the step {node['id']}.")
    draft.changed(
        f"{path}", "PROMPT_MADE", f"a cantbook has no prompt: it is made of the description, for {who}", node["id"]
    )
    wanted = fields(node.get("inputs") or {}, f"{path}.inputs")
    given = {key: inputs.rendered(f"{path}.inputs.{key}", value) for key, value in wanted.items()}
    made |= {"inputs": {key: value for key, value in given.items() if value is not None}} if given else {}
    if asked:
        made["output_schema"] = {"type": "object", "properties": {key: {} for key in asked}, "required": asked}
        draft.changed(
            path, "ASKED_FOR", f"others need {', '.join(asked)} of it, so the agent is asked for that", node["id"]
        )
    return made


def _command(draft: Draft, path: str, node: JsonObject, inputs: Inputs) -> JsonObject:
    made: JsonObject = {"command": inputs.rendered(f"{path}.command", text(node.get("command"), f"{path}.command"))}
    arguments = [
        inputs.rendered(f"{path}.args[{place}]", value)
        for place, value in enumerate(items(node.get("args"), f"{path}.args"))
    ]
    if made["command"] is None or None in arguments:
        raise NotConvertible(path, "TEMPLATE_UNREADABLE", "what it would run cannot be read")
    made |= {"args": arguments} if arguments else {}
    made |= {"cwd": str(node["cwd"])} if node.get("cwd") else {}
    named_values = fields(node.get("env") or {}, f"{path}.env")
    variables = {key: inputs.rendered(f"{path}.env.{key}", value) for key, value in named_values.items()}
    made |= {"env": {key: value for key, value in variables.items() if value is not None}} if variables else {}
    if node.get("timeout_ms"):
        made["timeout_ms"] = node["timeout_ms"]
    reason = "a cantbook says nothing of effects: this counts as at_most_once; say none or idempotent where it is true"
    draft.changed(path, "EFFECT_UNSTATED", reason, node["id"])
    return made


def _approval(draft: Draft, path: str, node: JsonObject, inputs: Inputs) -> JsonObject:
    if node.get("policy") not in (None, "conservative"):
        reason = f"the policy {node['policy']!r} lets go on without a person; here a person decides"
        draft.lost(f"{path}.policy", "POLICY", reason)
    prompt = inputs.rendered(f"{path}.prompt", node.get("prompt") or node.get("description") or f"{node['id']}: go on?")
    return {"prompt": prompt or f"{node['id']}: go on?"}


def _on_failure(draft: Draft, path: str, node: JsonObject, order: Order) -> JsonObject:
    given = fields(node.get("on_failure") or {}, path)
    draft.leftover(path, given, ("max_iterations", "inject_into", "escalate"))
    made: JsonObject = {"max_iterations": given["max_iterations"]} if given.get("max_iterations") is not None else {}
    target = text(given["inject_into"], f"{path}.inject_into") if given.get("inject_into") is not None else None
    if target == node["id"]:
        draft.changed(f"{path}.inject_into", "INJECT_INTO_ITSELF", "to go back to itself is to be tried again in place")
    elif target is not None and target not in order.before(node["id"]):
        reason = f"{target!r} does not come before {node['id']!r}, and a failure only goes back"
        draft.lost(f"{path}.inject_into", "INJECT_NOT_BEFORE", reason)
    elif target is not None:
        made["inject_into"] = target
        reason = "max_iterations bounds the jumps, too; a cantbook goes back for ever"
        draft.changed(f"{path}.inject_into", "JUMPS_BOUNDED", reason, node["id"])
    if given.get("escalate"):
        escalation(draft, f"{path}.escalate", [node["id"]], "failed", "")
    return {"on_failure": made} if made else {}
