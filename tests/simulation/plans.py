"""Small playbooks, drawn by chance: lines, branches, choices, maps, gates, jumps back, and every class of effect."""

import json
import random
from typing import Any, Final

EFFECTS: Final = ("none", "idempotent", "at_most_once", "compensable")
GUARDED: Final = ("at_most_once", "compensable")
SIGNALS: Final = ("paid", "shipped")


class PlanMaker:
    """Makes one playbook after the other."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._made = 0
        self._nodes: list[dict[str, Any]] = []
        self._edges: list[dict[str, Any]] = []
        self._trunk: list[str] = []
        """Nodes that every way passes, and that a later one may go back to."""

    def manifest(self) -> str:
        """The text of a playbook."""
        self._made += 1
        self._nodes, self._edges, self._trunk = [], [], []
        exits: list[str] = []
        for _ in range(self._chance.randint(2, 4)):
            (segment,) = self._chance.choices(
                [self._single, self._gate, self._wait, self._fan, self._choice, self._map], [5, 2, 2, 3, 2, 2]
            )
            exits = segment(exits)
        if len(exits) > 1:
            self._single(exits)
        return json.dumps({
            "playbook_id": f"drawn-{self._made}", "version": "1.0.0", "title": "Drawn", "objective": "Be walked",
            "nodes": self._nodes, "edges": self._edges,
        })  # fmt: skip

    def _single(self, after: list[str]) -> list[str]:
        node = self._function(after)
        if self._trunk and self._chance.random() < 0.25:
            node["on_failure"] = {"inject_into": self._chance.choice(self._trunk), "max_iterations": 3}
            node.pop("retry", None)
        self._trunk.append(node["id"])
        return [node["id"]]

    def _gate(self, after: list[str]) -> list[str]:
        gate = self._add(after, type="approval", prompt="go on?", timeout_seconds=self._chance.choice([4, 3600]))
        if after:
            gate["subject"] = {"seen": f"{{{{ has(nodes.{after[0]}.value) }}}}"} if len(after) == 1 else {}
        if self._trunk and self._chance.random() < 0.5:
            gate["on_failure"] = {"inject_into": self._chance.choice(self._trunk), "max_iterations": 3}
        self._trunk.append(gate["id"])
        return [gate["id"]]

    def _wait(self, after: list[str]) -> list[str]:
        node = self._add(after, type="wait", **self._waited_for())
        self._trunk.append(node["id"])
        return [node["id"]]

    def _waited_for(self) -> dict[str, Any]:
        draw = self._chance.random()
        if draw < 0.4:
            return {"duration_seconds": self._chance.choice([1, 2])}
        if draw < 0.7:
            return {"signal": self._chance.choice(SIGNALS)}
        return {"signal": self._chance.choice(SIGNALS), "timeout_seconds": self._chance.choice([3, 3600])}

    def _fan(self, after: list[str]) -> list[str]:
        exits = []
        for _ in range(self._chance.randint(2, 3)):
            first = self._waiting_branch(after) if self._chance.random() < 0.25 else self._function(after)
            exits.append(first["id"])
            if self._chance.random() < 0.4:
                exits[-1] = self._function([first["id"]])["id"]
        return exits

    def _waiting_branch(self, after: list[str]) -> dict[str, Any]:
        if self._chance.random() < 0.5:
            return self._add(after, type="wait", **self._waited_for())
        return self._add(after, type="approval", prompt="this branch?", timeout_seconds=3600)

    def _choice(self, after: list[str]) -> list[str]:
        chooser = self._function(after)
        one, other = self._function([]), self._function([])
        self._trunk.append(chooser["id"])
        guard = f"nodes.{chooser['id']}.value < 50"
        self._edges += [
            {"from": chooser["id"], "to": one["id"], "when": guard},
            {"from": chooser["id"], "to": other["id"]},
        ]
        return [one["id"], other["id"]]

    def _map(self, after: list[str]) -> list[str]:
        inside = self._function(after) if self._chance.random() < 0.7 else self._waiting_branch(after)
        node_id, fields = inside.pop("id"), dict(inside)
        inside.clear()
        inside.update(
            id=node_id, type="map", node=fields, items=f"[{', '.join('12345'[: self._chance.randint(0, 5)])}]"
        )
        inside["max_parallel"] = self._chance.randint(1, 3)
        if self._chance.random() < 0.5:
            inside["on_item_failure"] = "continue"
        self._trunk.append(node_id)
        return [node_id]

    def _function(self, after: list[str]) -> dict[str, Any]:
        (effect,) = self._chance.choices(EFFECTS, [4, 3, 3, 1])
        guarded = effect in GUARDED
        node = self._add(after, type="function", function="once" if guarded else "free", effect=effect)
        if self._chance.random() < 0.3:
            node["inputs"] = {"number": len(self._nodes)}
        if self._chance.random() < 0.2:
            node["timeout_seconds"] = 2
        if self._chance.random() < 0.4:
            node["on_failure"] = {"max_iterations": self._chance.randint(1, 3)}
            node["retry"] = {"initial_seconds": 0.2, "maximum_seconds": 1}
        return node

    def _add(self, after: list[str], **fields: Any) -> dict[str, Any]:
        node = {"id": f"n{len(self._nodes) + 1}", **fields}
        self._nodes.append(node)
        self._edges += [{"from": one, "to": node["id"]} for one in after]
        return node
