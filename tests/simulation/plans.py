"""Small playbooks, drawn by chance: every kind of node that needs no command, and every way from one to the next."""

import json
import random
from collections.abc import Sequence
from typing import Any, Final

EFFECTS: Final = ("none", "idempotent", "at_most_once", "compensable")
GUARDED: Final = ("at_most_once", "compensable")
SIGNALS: Final = ("paid", "shipped")
LABEL: Final = "gpu"
"""What some playbooks ask of an executor."""

GATES: Final = (
    {},
    {"kind": "review", "content_schema": {"type": "object", "required": ["value"]}},
    {"kind": "input", "content_key": "told"},
    {"kind": "select", "options": ["one", "two"], "default_option": "two"},
)
"""What hold points ask for."""

TIMEOUTS: Final = (
    {},
    {"on_timeout": "continue"},
    {"on_timeout": "escalate", "escalate_to": [{"to": ["role:admin"], "timeout_seconds": 3.0}, {"to": ["keys/ada"]}]},
    {"on_timeout": "escalate", "escalate_to": [{"to": ["role:admin"], "timeout_seconds": 3.0}]},
)
"""What becomes of them when nobody decides in time."""

Version = tuple[str, str]
"""A playbook's id and the version of it that is stored."""


class PlanMaker:
    """Makes one playbook after the other."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._elsewhere = random.Random(str(chance.getstate()))
        """Draws which nodes are done in part runs, beside the chance that draws all else."""
        self._made = 0
        self._nodes: list[dict[str, Any]] = []
        self._edges: list[dict[str, Any]] = []
        self._handlers: list[dict[str, Any]] = []
        self._children: Sequence[Version] = ()
        self._trunk: list[str] = []
        """Nodes that every way passes, and that a later one may go back to."""

    def manifest(self, children: Sequence[Version] = (), *, longest: int = 4) -> str:
        """The text of a playbook, which may start children of these versions."""
        self._made += 1
        self._nodes, self._edges, self._handlers, self._trunk, self._children = [], [], [], [], children
        exits: list[str] = []
        segments = [
            *(self._single, self._gate, self._wait, self._fan, self._choice, self._map),
            *(self._taken, self._child),
        ]
        for _ in range(self._chance.randint(2, longest)):
            (segment,) = self._chance.choices(segments, [5, 2, 2, 3, 2, 2, 2, 4 if children else 0])
            exits = segment(exits)
        if len(exits) > 1:
            self._single(exits)
        labels = {"labels": [LABEL]} if self._chance.random() < 0.2 else {}
        return json.dumps({
            "playbook_id": f"drawn-{self._made}", "version": "1.0.0", "title": "Drawn", "objective": "Be walked",
            "nodes": self._nodes, "edges": self._edges, "error_handlers": self._handlers, **labels,
        })  # fmt: skip

    def _single(self, after: list[str]) -> list[str]:
        node = self._function(after)
        if self._trunk and self._chance.random() < 0.25:
            node["on_failure"] = {"inject_into": self._chance.choice(self._trunk), "max_iterations": 3}
            node.pop("retry", None)
        self._trunk.append(node["id"])
        return [node["id"]]

    def _gate(self, after: list[str]) -> list[str]:
        asked = self._chance.choice(GATES)
        gate = self._add(
            after, type="approval", prompt="go on?", timeout_seconds=self._chance.choice([4, 3600]), **asked
        )
        gate |= self._chance.choice(TIMEOUTS[:1] if asked.get("kind") == "input" else TIMEOUTS)
        if self._chance.random() < 0.3:
            gate["remind_after_seconds"] = [1.0, 2.0]
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
        inside = self._work(after) if self._chance.random() < 0.7 else self._waiting_branch(after)
        node_id, fields = inside.pop("id"), dict(inside)
        inside.clear()
        inside.update(
            id=node_id, type="map", node=fields, items=f"[{', '.join('12345'[: self._chance.randint(0, 5)])}]"
        )
        inside["max_parallel"] = self._chance.randint(1, 3)
        if self._chance.random() < 0.5:
            inside["on_item_failure"] = "continue"
        if fields["type"] == "function":
            self._draw_elsewhere(inside)
            self._draw_long(inside)
        self._trunk.append(node_id)
        return [node_id]

    def _taken(self, after: list[str]) -> list[str]:
        """A node whose failure is taken: by an edge, or a handler that goes elsewhere."""
        if self._chance.random() < 0.3:
            node, word = self._add(after, type="approval", prompt="may it?", timeout_seconds=3600), "rejected"
        else:
            node, word = self._function(after), self._chance.choice(["failed", "ITERATION_CAP_EXCEEDED"])
        instead = self._function([])
        if self._chance.random() < 0.6:
            self._edges.append({"from": node["id"], "to": instead["id"], "on": word})
        else:
            taker = {"on": word, "nodes": [node["id"]], "action": "go_to", "to": instead["id"]}
            self._handlers.append(taker)
        return [node["id"], instead["id"]]

    def _child(self, after: list[str]) -> list[str]:
        playbook_id, version = self._chance.choice(self._children)
        node = self._add(after, type="playbook", playbook_id=playbook_id, version=version)
        if self._chance.random() < 0.3:
            node["timeout_seconds"] = self._chance.choice([4, 3600])
        if self._chance.random() < 0.3:
            node["on_failure"] = {"max_iterations": 2}
        if self._chance.random() < 0.4:
            self._go_on_without(node)
        self._draw_elsewhere(node)
        return [node["id"]]

    def _go_on_without(self, node: dict[str, Any]) -> None:
        self._handlers.append({"on": "failed", "nodes": [node["id"]], "action": "continue", "output": {"value": 7}})

    def _function(self, after: list[str]) -> dict[str, Any]:
        node = self._work(after)
        self._agree(node, after)
        self._draw_elsewhere(node)
        return node

    def _draw_long(self, of_map: dict[str, Any]) -> None:
        """Some lists are longer than one run may have; what is done for each item of those is quick, and may be repeated."""
        if self._elsewhere.random() < 0.12:
            of_map["items"] = f"[{', '.join(str(number % 10) for number in range(self._elsewhere.randint(101, 130)))}]"
            of_map["max_parallel"] = self._elsewhere.choice([40, 100])
            of_map["node"] = {"type": "function", "function": "free", "effect": "none"}

    def _draw_elsewhere(self, node: dict[str, Any]) -> None:
        if self._elsewhere.random() < 0.2:
            node["labels"] = [LABEL]

    def _work(self, after: list[str]) -> dict[str, Any]:
        (effect,) = self._chance.choices(EFFECTS, [4, 3, 3, 1])
        guarded = effect in GUARDED
        node = self._add(after, type="function", function="once" if guarded else "free", effect=effect)
        if self._chance.random() < 0.3:
            node["inputs"] = {"number": len(self._nodes)}
        if self._chance.random() < 0.2:
            node["timeout_seconds"] = 2
        if self._chance.random() < 0.4:
            node["on_failure"] = {"max_iterations": self._chance.randint(1, 3)}
            slow = self._chance.random() < 0.5
            node["retry"] = {"initial_seconds": 7 if slow else 0.2, "maximum_seconds": 7 if slow else 1}
        return node

    def _agree(self, node: dict[str, Any], after: list[str]) -> None:
        """Draws what it promises, what it needs, and whether its failure is passed over."""
        draw, works = self._chance.random(), [one["id"] for one in self._nodes if "function" in one]
        follows_work = len(after) == 1 and after[0] in works
        if draw < 0.1:
            node["ensures"] = {"fields": ["value"], "schema": {"properties": {"value": {"maximum": 80}}}}
        elif draw < 0.2 and follows_work:
            schema = {"properties": {"value": {"minimum": 20}}}
            node["requires"] = {"from": after[0], "fields": ["value"], "schema": schema}
        elif draw < 0.25 and follows_work:
            self._edges[-1]["contract"] = {"ensures": ["value"]}
        if 0.15 < draw < 0.3:
            self._go_on_without(node)

    def _add(self, after: list[str], **fields: Any) -> dict[str, Any]:
        node = {"id": f"n{len(self._nodes) + 1}", **fields}
        self._nodes.append(node)
        self._edges += [{"from": one, "to": node["id"]} for one in after]
        return node
