"""Steps of a workflow spec, as nodes."""

from typing import Any, Final

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.conversion.draft import Draft, NotConvertible, fields, text
from perdure_control_plane.manifests.conversion.workflow_nodes import NodeMaker

_STEP: Final = ("id", "kind", "ref", "on_error", "max_retries", "timeout_seconds", "fallback_ref")
_MOST_ATTEMPTS: Final = 10
_BEGIN: Final = "begin"


class Steps:
    """Nodes, and what follows what."""

    def __init__(self, draft: Draft, agents: dict[str, JsonObject], components: JsonObject) -> None:
        self._draft = draft
        self._agents = agents
        self._functions: JsonObject = components.get("functions") or {}
        self._makes = NodeMaker(draft, agents, components)
        self._ids: list[str] = []

    def add(self, given: list[Any]) -> None:
        """Makes a node of each step."""
        if not given:
            raise NotConvertible("workflow.steps", "FIELD_MISSING", "there are no steps")
        for index, one in enumerate(given):
            path = f"workflow.steps[{index}]"
            step = fields(one, path)
            self._draft.leftover(path, step, _STEP)
            name = text(step.get("id"), f"{path}.id")
            self._draft.nodes.append(self._makes.make(path, name, step, step.get("kind"), step.get("ref")))
            self._ids.append(name)
            self._failures(path, name, step)

    def connect(self, kind: str, edges: list[Any]) -> None:
        """Says what follows what, and where a node that is done instead leads."""
        steps: list[tuple[str, str]] = []
        if kind == "sequential":
            steps = list(zip(self._ids, self._ids[1:], strict=False))
            self._hand_on(steps)
        elif kind == "concurrent":
            self._draft.nodes.insert(0, {"id": _BEGIN, "type": "deterministic", "command": "true", "effect": "none"})
            steps = [(_BEGIN, name) for name in self._ids]
            self._draft.changed(
                "workflow.type", "BEGINNING_MADE", "all steps are done side by side, after this one", _BEGIN
            )
        for index, edge in enumerate(edges):
            self._edge(f"workflow.edges[{index}]", fields(edge, f"workflow.edges[{index}]"), steps)
        self._draft.edges[:0] = [{"from": one, "to": other} for one, other in steps]
        for name, other in self._makes.instead.items():
            self._draft.edges += [{"from": other, "to": after} for before, after in steps if before == name]

    def _edge(self, path: str, edge: JsonObject, steps: list[tuple[str, str]]) -> None:
        self._draft.leftover(path, edge, ("from", "to", "condition"))
        one, other = text(edge.get("from"), f"{path}.from"), text(edge.get("to"), f"{path}.to")
        match edge.get("condition"):
            case None | "success":
                steps.append((one, other))
            case "failure":
                self._draft.edges.append({"from": one, "to": other, "on": "failed"})
            case _:
                reason = "write it in CEL, as the edge's `when`; an edge whose condition is lost would be taken always"
                raise NotConvertible(f"{path}.condition", "CONDITION_UNKNOWN", reason)

    def _hand_on(self, steps: list[tuple[str, str]]) -> None:
        nodes = {node["id"]: node for node in self._draft.nodes}
        for one, other in steps:
            if nodes[other]["type"] in ("agentic", "function"):
                instead = self._makes.instead.get(one)
                # What has failed is not there; what was done instead is.
                read = f'nodes["{instead}"]' if instead else "{}"
                nodes[other]["inputs"] = {"previous": f'{{{{ "{one}" in nodes ? nodes["{one}"] : {read} }}}}'}

    def _failures(self, path: str, name: str, step: JsonObject) -> None:
        node = next(node for node in self._draft.nodes if node["id"] == name)
        retries = step.get("max_retries")
        if isinstance(retries, int) and node["type"] != "approval":
            if retries >= _MOST_ATTEMPTS:
                reason = f"a node is tried {_MOST_ATTEMPTS} times at most"
                self._draft.lost(f"{path}.max_retries", "TOO_MANY_ATTEMPTS", reason)
            node["on_failure"] = {"max_iterations": min(retries + 1, _MOST_ATTEMPTS)}
        match step.get("on_error"):
            case None | "fail" | "retry":
                return
            case "continue":
                self._draft.handlers.append({"nodes": [name], "action": "continue"})
            case "fallback":
                self._fallback(path, name, step)
            case other:
                self._draft.lost(f"{path}.on_error", "ACTION_UNKNOWN", f"{other!r} is no action of a workflow spec")

    def _fallback(self, path: str, name: str, step: JsonObject) -> None:
        ref = step.get("fallback_ref")
        kind = "agent" if ref in self._agents else "function" if ref in self._functions else None
        if kind is None:
            self._draft.lost(
                f"{path}.fallback_ref", "REF_UNKNOWN", f"{ref!r} is neither an agent nor a function of the spec"
            )
            return
        other = self._draft.free_id(f"{name}_fallback")
        self._draft.nodes.append(self._makes.make(path, other, step, kind, ref))
        self._draft.handlers.append({"nodes": [name], "action": "go_to", "to": other})
        self._makes.instead[name] = other
