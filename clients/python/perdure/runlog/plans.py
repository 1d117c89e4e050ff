"""A plan, indexed for walking."""

import hashlib
import heapq
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final

from perdure.runlog.takers import Taker, takers
from perdure.v1 import instances_pb2, plans_pb2

DEFAULT_ITERATION_CAP: Final = 3
"""Times a node may fail in a row where its author says nothing and its effect may be repeated."""

DEFAULT_JUMP_LIMIT: Final = 10
"""Jumps a run may make in all."""

MAX_DEPTH: Final = 8
"""Levels of playbooks that may stand below one."""

MAX_ITEMS: Final = 100
"""Items of a map that are done in one run: one executor does them, and that run's log has them. More go in shards."""

MAX_LISTED: Final = 10_000
"""Items of a map in all: so many shards as one run may have items."""

WORKSPACE_TOOLS: Final = ("list_files", "read_file", "search_files")
"""Tools over the files of a workspace; they read, and change nothing. An agent has them where its node names none."""

ASK_PERSON: Final = "ask_person"
"""The tool by which an agent asks people; only where its node names it."""

AGENT_TOOLS: Final = (*WORKSPACE_TOOLS, ASK_PERSON)
"""Tools that a plan may give its agents, and every executor has."""


class WalkPlan:
    """One plan and what is next to what in it. Immutable."""

    def __init__(self, message: plans_pb2.Plan) -> None:
        """Indexes a valid plan; a plan that names an unknown node raises KeyError."""
        self.message: Final = message
        self.nodes: Final = {node.id: node for node in message.nodes}
        self.successors: Final[dict[str, list[str]]] = {node.id: [] for node in message.nodes}
        self.predecessors: Final[dict[str, list[str]]] = {node.id: [] for node in message.nodes}
        self.choices: Final[dict[str, list[plans_pb2.PlanEdge]]] = {}
        """The steps from each node that goes on with one of them."""
        self.contracts: Final[dict[str, list[plans_pb2.PlanEdge]]] = {}
        """The steps to each node that have a contract."""
        self.takers: Final[dict[str, list[Taker]]] = takers(message)
        """What may take the failure of each node, in the order in which they are asked."""
        self._ancestors: Final[dict[str, tuple[str, ...]]] = {}
        self._behind: Final[dict[str, frozenset[str]]] = {}
        self._shards: Final[dict[str, plans_pb2.PlanNode]] = {}
        self._successes: Final = {(edge.source, edge.target) for edge in message.edges if not edge.HasField("on")}
        for edge in message.edges:
            self._connect(edge.source, edge.target)
            if edge.when or edge.otherwise:
                self.choices.setdefault(edge.source, []).append(edge)
            if edge.HasField("contract"):
                self.contracts.setdefault(edge.target, []).append(edge)
        for handler in message.error_handlers:
            for node in handler.nodes if handler.go_to else ():
                self._connect(node, handler.go_to)

    def _connect(self, source: str, target: str) -> None:
        if target not in self.successors[source]:
            self.successors[source].append(target)
            self.predecessors[target].append(source)

    @cached_property
    def selective(self) -> bool:
        """Whether there may be nodes that the walk does not come to: some step is taken only for a guard, or a failure."""
        return bool(self.choices or self.takers)

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """Nodes that nothing comes before, in declaration order."""
        return tuple(node for node, before in self.predecessors.items() if not before)

    def region(self, target: str) -> tuple[str, ...]:
        """A node and everything that comes after it, in declaration order: what a jump to it walks again."""
        after = self.behind(target)
        return tuple(node for node in self.nodes if node in after)

    def shard(self, node: str) -> plans_pb2.PlanNode:
        """What does each shard of a map."""
        known = self._shards.get(node)
        if known is None:
            known = self._shards[node] = plans_pb2.PlanNode(
                id=node, effect=instances_pb2.EFFECT_NONE, part=self.nodes[node].map.shard
            )
        return known

    def behind(self, target: str) -> frozenset[str]:
        """A node and everything that comes after it."""
        known = self._behind.get(target)
        if known is None:
            known = self._behind[target] = self._reachable(target, self.successors)
        return known

    def follows_success(self, before: str, after: str) -> bool:
        """Whether a step is for when the node that it leaves has succeeded; any other is for its failure alone."""
        return (before, after) in self._successes

    def behind_gate(self, gate: str) -> tuple[str, ...]:
        """What comes after an approval, up to the next one on each path and without it, in declaration order."""
        gates = {node for node, spec in self.nodes.items() if spec.HasField("approval")}
        onwards = {node: [] if node in gates - {gate} else after for node, after in self.successors.items()}
        behind = self._reachable(gate, onwards)
        return tuple(node for node in self.nodes if node in behind - gates)

    @cached_property
    def effects_behind(self) -> Mapping[str, tuple[str, ...]]:
        """Of each approval the nodes behind it that have an effect, up to the next approval on each path."""
        gates = [node for node, spec in self.nodes.items() if spec.HasField("approval")]
        none = instances_pb2.EFFECT_NONE
        return {
            gate: tuple(node for node in self.behind_gate(gate) if worst_effect(self.nodes[node]) != none)
            for gate in gates
        }

    @cached_property
    def gates_before_effect(self) -> Mapping[str, tuple[str, ...]]:
        """Of each node that has an effect the approvals that it is behind, with none between."""
        found: dict[str, list[str]] = {}
        for gate, nodes in self.effects_behind.items():
            for node in nodes:
                found.setdefault(node, []).append(gate)
        return {node: tuple(gates) for node, gates in found.items()}

    def ancestors(self, node: str) -> tuple[str, ...]:
        """Everything that comes before a node, each after what comes before it.

        Branches stand one after the other, in the order in which their steps to the join are declared: whatever stands
        later counts where both say something.
        """
        known = self._ancestors.get(node)
        if known is None:
            known = self._ancestors[node] = tuple(self._in_merge_order(node))
        return known

    def _in_merge_order(self, node: str) -> list[str]:
        placed: dict[str, None] = {}
        entered, open_ = set[str](), [node]
        while open_:
            last = open_[-1]
            fresh = [] if last in entered else [other for other in self.predecessors[last] if other not in placed]
            entered.add(last)
            if fresh:
                open_.extend(reversed(fresh))
            else:
                placed[open_.pop()] = None
        del placed[node]
        return list(placed)

    def passed_over(self, chosen: Mapping[str, str]) -> frozenset[str]:
        """Nodes that no way leads to any more, where each of some nodes has gone on with the one that is given.

        What follows a failure alone is among them until that failure was taken.
        """
        over, cut = set[str](), dict[str, set[str]]()
        for node in self.order:
            before = self.predecessors[node]
            for other in before:
                taken = chosen.get(other, "")
                away = {taken} if taken and not self.follows_success(other, taken) else cut.get(other, set())
                if self.follows_success(other, node) and taken != node:
                    cut.setdefault(node, set()).update(to for to in away if node not in self.behind(to))
            leads = (other not in over and self._leads(chosen, other, node) for other in before)
            if cut.get(node) or (before and not any(leads)):
                over.add(node)
        return frozenset(over)

    def _leads(self, chosen: Mapping[str, str], before: str, after: str) -> bool:
        return chosen[before] == after if before in chosen else self.follows_success(before, after)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Every node after what comes before it, ties in declaration order. A node on a cycle is left out."""
        missing = {node: len(before) for node, before in self.predecessors.items()}
        ranks = {node: rank for rank, node in enumerate(self.nodes)}
        ready, placed = [(ranks[node], node) for node in self.entries], []
        heapq.heapify(ready)
        while ready:
            _, node = heapq.heappop(ready)
            placed.append(node)
            for after in self.successors[node]:
                missing[after] -= 1
                if missing[after] == 0:
                    heapq.heappush(ready, (ranks[after], after))
        return tuple(placed)

    def _reachable(self, start: str, steps: dict[str, list[str]]) -> frozenset[str]:
        found, frontier = {start}, [start]
        while frontier:
            fresh = [node for node in steps[frontier.pop()] if node not in found]
            found.update(fresh)
            frontier.extend(fresh)
        return frozenset(found)


def every_node(plan: plans_pb2.Plan) -> Iterator[plans_pb2.PlanNode]:
    """The nodes of a plan, and those inside its maps and parts."""
    for node in plan.nodes:
        yield from _with_inside(node)


def _with_inside(spec: plans_pb2.PlanNode) -> Iterator[plans_pb2.PlanNode]:
    yield spec
    if spec.HasField("map"):
        yield from _with_inside(spec.map.node)
    elif spec.HasField("part"):
        yield from _with_inside(spec.part.node)


def worst_effect(spec: plans_pb2.PlanNode) -> instances_pb2.Effect.ValueType:
    """What a node does to the world outside, or what anything does at worst that it starts or has inside."""
    return max(max(each.effect, each.playbook.effect) for each in _with_inside(spec))


def starts_a_run(spec: plans_pb2.PlanNode) -> bool:
    """Whether an attempt of a node is a run: a child of another playbook, or a part."""
    return spec.HasField("playbook") or spec.HasField("part")


def read_plan(stored: bytes, digest: bytes) -> WalkPlan:
    """Reads a stored plan. Raises ValueError where its bytes are not those of the digest."""
    if hashlib.sha256(stored).digest() != digest:
        raise ValueError(f"the stored plan is not the one with digest {digest.hex()}")
    return WalkPlan(plans_pb2.Plan.FromString(stored))
