"""A plan, indexed for walking."""

import hashlib
import heapq
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from perdure.v1 import plans_pb2

DEFAULT_ITERATION_CAP: Final = 3
"""Times a node may fail in a row where its author says nothing and its effect may be repeated."""

DEFAULT_JUMP_LIMIT: Final = 10
"""Jumps a run may make in all."""

WORKSPACE_TOOLS: Final = ("list_files", "read_file", "search_files")
"""Tools that a plan may give its agents, and every executor has; they read, and change nothing."""


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
        self._ancestors: Final[dict[str, tuple[str, ...]]] = {}
        for edge in message.edges:
            if edge.target not in self.successors[edge.source]:
                self.successors[edge.source].append(edge.target)
                self.predecessors[edge.target].append(edge.source)
            if edge.when or edge.otherwise:
                self.choices.setdefault(edge.source, []).append(edge)
            if edge.HasField("contract"):
                self.contracts.setdefault(edge.target, []).append(edge)

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """Nodes that nothing comes before, in declaration order."""
        return tuple(node for node, before in self.predecessors.items() if not before)

    def region(self, target: str) -> tuple[str, ...]:
        """A node and everything that comes after it, in declaration order: what a jump to it walks again."""
        after = self._reachable(target, self.successors)
        return tuple(node for node in self.nodes if node in after)

    def behind_gate(self, gate: str) -> tuple[str, ...]:
        """What comes after an approval, up to the next one on each path and without it, in declaration order."""
        gates = {node for node, spec in self.nodes.items() if spec.HasField("approval")}
        onwards = {node: [] if node in gates - {gate} else after for node, after in self.successors.items()}
        behind = self._reachable(gate, onwards)
        return tuple(node for node in self.nodes if node in behind - gates)

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
        """Nodes that no way leads to any more, where each of some nodes has gone on with the one that is given."""
        over = set[str]()
        for node in self.order:
            before = self.predecessors[node]
            if before and all(other in over or chosen.get(other, node) != node for other in before):
                over.add(node)
        return frozenset(over)

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


def read_plan(stored: bytes, digest: bytes) -> WalkPlan:
    """Reads a stored plan. Raises ValueError where its bytes are not those of the digest."""
    if hashlib.sha256(stored).digest() != digest:
        raise ValueError(f"the stored plan is not the one with digest {digest.hex()}")
    return WalkPlan(plans_pb2.Plan.FromString(stored))
