"""Steps of a workflow spec, as nodes."""

from collections.abc import Callable
from typing import Any, Final

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.conversion.draft import Draft, NotConvertible, fields, items, text, word
from perdure_control_plane.manifests.conversion.workflow_conditions import after, condition
from perdure_control_plane.manifests.conversion.workflow_nodes import Components, NodeMaker

_STEP: Final = ("id", "kind", "ref", "on_error", "max_retries", "timeout_seconds", "fallback_ref")
_MOST_ATTEMPTS: Final = 10
_BEGIN: Final = "begin"


def listed(kind: str, spec: JsonObject, path: str) -> list[tuple[str, JsonObject]]:
    """The steps of a workflow, each with its path. Raises NotConvertible."""
    nodes = spec.get("nodes")
    if kind == "graph" and isinstance(nodes, dict):
        return [
            (f"{path}.nodes.{name}", {"id": name, **fields(one, f"{path}.nodes.{name}")}) for name, one in nodes.items()
        ]
    word = {"graph": "nodes", "concurrent": "participants"}.get(kind, "steps")
    word = word if word in spec else "steps"
    found = items(spec.get(word), f"{path}.{word}")
    if not found:
        raise NotConvertible(f"{path}.{word}", "FIELD_MISSING", "there are no steps")
    return [(f"{path}.{word}[{index}]", fields(one, f"{path}.{word}[{index}]")) for index, one in enumerate(found)]


class Steps:
    """Nodes, and what follows what."""

    def __init__(
        self, draft: Draft, components: Components, started: Callable[[str, str], JsonObject], path: str
    ) -> None:
        """`path` is that of the workflow; `started` gives the node that starts the playbook of another."""
        self._draft = draft
        self._known = components
        self._makes = NodeMaker(draft, components, started)
        self._path = path
        self._ids: list[str] = []
        self._paths: dict[str, str] = {}
        self._guards: list[JsonObject] = []

    def add(self, given: list[tuple[str, JsonObject]]) -> None:
        """Makes a node of each step."""
        for path, step in given:
            self._draft.leftover(path, step, _STEP)
            name = text(step.get("id"), f"{path}.id")
            self._draft.nodes.append(self._makes.make(path, name, step, step.get("kind"), step.get("ref")))
            self._ids.append(name)
            self._paths[name] = path
            self._failures(path, name, step)

    def connect(self, kind: str, edges: list[Any]) -> None:
        """Says what follows what, and where a node that is done instead leads."""
        steps: list[tuple[str, str]] = []
        if kind == "sequential":
            steps = list(zip(self._ids, self._ids[1:], strict=False))
        elif kind == "concurrent":
            self._draft.nodes.insert(0, {"id": _BEGIN, "type": "deterministic", "command": "true", "effect": "none"})
            steps = [(_BEGIN, name) for name in self._ids]
            self._draft.changed(
                f"{self._path}.type", "BEGINNING_MADE", "all steps are done side by side, after this one", _BEGIN
            )
        guarded = list[tuple[str, str]]()
        for index, edge in enumerate(edges):
            path = f"{self._path}.edges[{index}]"
            self._edge(path, fields(edge, path), steps, guarded)
        self._draft.edges[:0] = [{"from": one, "to": other} for one, other in steps]
        for name, other in self._makes.instead.items():
            self._draft.edges += [{"from": other, "to": after} for before, after in steps if before == name]
        self._hand_on([(one, other) for one, other in [*steps, *guarded] if one != _BEGIN])

    def _edge(self, path: str, edge: JsonObject, steps: list[tuple[str, str]], guarded: list[tuple[str, str]]) -> None:
        self._draft.leftover(path, edge, ("from", "to", "condition"))
        one, other = text(edge.get("from"), f"{path}.from"), text(edge.get("to"), f"{path}.to")
        source = next((node for node in self._draft.nodes if node["id"] == one), {})
        found = condition(source, edge.get("condition"))
        if found is None:
            reason = (
                "it is success, failure or {type: output_contains, value: ...}, behind a person with a word that decides; "
                "write any other in CEL, as the edge's `when`: lost it would be taken always"
            )
            raise NotConvertible(f"{path}.condition", "CONDITION_UNKNOWN", reason)
        if source.get("type") == "approval" and isinstance(edge.get("condition"), dict):
            decided = "rejection" if found else "approval"
            reason = f"{edge['condition']['value']!r} is read as the {decided} of {one}, whatever else is said there"
            self._draft.changed(f"{path}.condition", "CONDITION_READ", reason, other)
        if not found:
            steps.append((one, other))
            return
        if "when" in found:
            before = [e["guard"] for e in self._guards if e["from"] == one]
            self._guards.append({"from": one, "guard": found["when"]})
            found = {"when": after(before, found["when"])}
            guarded.append((one, other))
            self._draft.changed(
                f"{path}.condition", "CONDITION_WRITTEN", "it is asked of the text that the agent gives"
            )
        self._draft.edges.append({"from": one, "to": other, **found})

    def _hand_on(self, steps: list[tuple[str, str]]) -> None:
        """Gives each step what the one before has left; the first of a playbook that is started, what that was given."""
        nodes = {node["id"]: node for node in self._draft.nodes}
        for name in self._ids:
            if nodes[name]["type"] not in ("agentic", "function", "playbook"):
                continue
            left = [other for one, to in steps if to == name for other in (one, self._makes.instead.get(one)) if other]
            begins = not left and self._draft.content.startswith("inputs.")
            # What has failed, or was not come to, is not there; what was done instead is.
            read = "inputs.previous" if begins else "{}"
            for other in reversed(left):
                read = f'"{other}" in nodes ? nodes["{other}"] : {read}'
            if left or begins:
                nodes[name].setdefault("inputs", {})["previous"] = f"{{{{ {read} }}}}"

    def begin_with(self, start: Any, most: Any) -> None:
        """Leaves out what a graph that begins with one step never comes to."""
        if isinstance(most, int) and most < len(self._ids):
            reason = "every step that is reached is done, and none twice"
            self._draft.lost(f"{self._path}.max_steps", "MAX_STEPS", reason)
        if start is None:
            return
        reached = {text(start, f"{self._path}.start")}
        leads = [(edge["from"], edge["to"]) for edge in self._draft.edges]
        leads += [
            (one, to) for handler in self._draft.handlers if (to := handler.get("to")) for one in handler["nodes"]
        ]
        while more := {other for one, other in leads if one in reached} - reached:
            reached |= more
        for name in [name for name in self._ids if name not in reached]:
            self._draft.lost(self._paths[name], "NEVER_REACHED", f"no way leads here from {start}")
        self._draft.nodes[:] = [node for node in self._draft.nodes if node["id"] in reached]
        self._draft.edges[:] = [edge for edge in self._draft.edges if {edge["from"], edge["to"]} <= reached]
        self._draft.handlers[:] = [one for one in self._draft.handlers if {*one["nodes"]} <= reached]

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
        ref = word(step.get("fallback_ref"))
        known = {
            "agent": self._known.agents,
            "function": self._known.functions,
            "workflow": self._known.workflows,
        }
        kind = next((kind for kind, named in known.items() if ref in named), None)
        if kind is None:
            reason = f"{ref!r} is neither an agent nor a function nor a workflow of the spec"
            self._draft.lost(f"{path}.fallback_ref", "REF_UNKNOWN", reason)
            return
        other = self._draft.free_id(f"{name}_fallback")
        self._draft.nodes.append(self._makes.make(path, other, step, kind, ref))
        self._draft.handlers.append({"nodes": [name], "action": "go_to", "to": other})
        self._makes.instead[name] = other
