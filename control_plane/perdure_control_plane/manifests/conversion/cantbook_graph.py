"""The order of a cantbook's nodes, which it walks along one line."""

import json
from typing import Any

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.conversion.draft import Draft, NotConvertible, fields, items, text

Edges = list[tuple[int, JsonObject]]
"""Edges that are kept, each with its place in the document."""


class Order:
    """What comes before what."""

    def __init__(self, draft: Draft, nodes: list[JsonObject], edges: list[Any]) -> None:
        self._draft = draft
        self.kinds: dict[str, str] = {}
        for index, node in enumerate(nodes):
            name = text(node.get("id"), f"nodes[{index}].id")
            if name in self.kinds:
                raise NotConvertible(f"nodes[{index}].id", "ID_DUPLICATE", f"{name!r} stands twice")
            self.kinds[name] = str(node.get("type"))
        self._steps: dict[str, list[str]] = {name: [] for name in self.kinds}
        read = [(index, fields(edge, f"edges[{index}]")) for index, edge in enumerate(edges)]
        for index, edge in read:
            path = f"edges[{index}]"
            self._connect(path, text(edge.get("from"), f"{path}.from"), text(edge.get("to"), f"{path}.to"))
        for index, node in enumerate(nodes):
            for other in items(node.get("depends"), f"nodes[{index}].depends"):
                self._connect(f"nodes[{index}].depends", str(other), node["id"])
        if not any(self._steps.values()):
            self._line()
        self.reached = self._reached()
        self.edges: Edges = [(index, edge) for index, edge in read if edge["from"] in self.reached]
        self._tell_of_branches()

    def before(self, node: str) -> set[str]:
        """Everything that comes before a node."""
        found, fresh = set[str](), [node]
        while fresh:
            last = fresh.pop()
            others = {name for name, after in self._steps.items() if last in after} - found
            found |= others
            fresh += others
        return found

    def guard(self, index: int, edge: JsonObject) -> JsonObject:
        """The condition of an edge, as a guard."""
        self._draft.leftover(f"edges[{index}]", edge, ("from", "to", "contract", "when"))
        given = edge.get("when")
        if given is None:
            return {}
        condition = _condition(fields(given, f"edges[{index}].when"))
        if condition is None:
            reason = "an edge whose condition is lost would be taken always"
            raise NotConvertible(f"edges[{index}].when", "CONDITION_UNKNOWN", reason)
        return {"when": condition}

    def _connect(self, path: str, source: str, target: str) -> None:
        for name in (source, target):
            if name not in self.kinds:
                raise NotConvertible(path, "NODE_UNKNOWN", f"there is no node {name!r}")
        if target not in self._steps[source]:
            self._steps[source].append(target)

    def _line(self) -> None:
        names = list(self.kinds)
        for one, other in zip(names, names[1:], strict=False):
            self._steps[one].append(other)
        if len(names) > 1:
            reason = (
                "without edges a cantbook does its first node alone; here nodes follow each other as they are written"
            )
            self._draft.changed("nodes", "ORDER_WRITTEN", reason, "nodes")

    def _reached(self) -> set[str]:
        """What comes after the first node that nothing comes before; the rest is never done."""
        later = {name for after in self._steps.values() for name in after}
        first = next((name for name in self.kinds if name not in later), None)
        if first is None:
            raise NotConvertible("nodes", "CYCLE", "every node comes after another one")
        found, fresh = {first}, [first]
        while fresh:
            others = {*self._steps[fresh.pop()]} - found
            found |= others
            fresh += others
        for index, name in enumerate(self.kinds):
            if name not in found:
                reason = f"a cantbook walks from {first!r}, and never comes to {name!r}"
                self._draft.lost(f"nodes[{index}]", "NODE_NEVER_REACHED", reason)
        self._steps = {name: after for name, after in self._steps.items() if name in found}
        return found

    def _tell_of_branches(self) -> None:
        guarded = {edge["from"] for _, edge in self.edges if edge.get("when") is not None}
        for index, name in enumerate(self.kinds):
            if len(self._steps.get(name, ())) > 1 and name not in guarded:
                reason = "several nodes follow it: here they are done side by side, where a cantbook fails"
                self._draft.changed(f"nodes[{index}]", "BRANCHES", reason, name)


def _condition(given: JsonObject) -> str | None:
    """CEL of a condition: a field, and one thing that is said of it."""
    match [given.get("field"), [(name, value) for name, value in given.items() if name != "field"]]:
        case [str() as field, [("equals", value)]]:
            return f"{field} == {json.dumps(value)}"
        case [str() as field, [("notEquals", value)]]:
            return f"{field} != {json.dumps(value)}"
        case [str() as field, [("in", list() as values)]]:
            return f"{field} in {json.dumps(values)}"
        case [str() as field, [("truthy", bool() as wanted)]]:
            return f"{field} {'=' if wanted else '!'}= true"
    return None
