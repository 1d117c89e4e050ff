"""The order of a manifest's nodes."""

import functools
import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.model import Manifest


@dataclass
class Graph:
    """Nodes and steps. A step that names an unknown node is left out; `checks` reports it."""

    nodes: dict[str, int]
    """Index in the manifest by id."""
    successors: dict[str, list[str]] = field(default_factory=dict)
    predecessors: dict[str, list[str]] = field(default_factory=dict)
    cycle: list[str] = field(default_factory=list)
    """Nodes that come before themselves, in the order of their steps; empty where none do."""
    choosing: frozenset[str] = frozenset()
    """Nodes that go on with one of their steps, which have guards."""
    failing: frozenset[tuple[str, str]] = frozenset()
    """Steps that are taken when the node that they leave has failed for good."""
    before: dict[str, set[str]] = field(default_factory=dict)
    """Every node that comes before one, by its id; empty where there is a cycle."""

    @classmethod
    def of(cls, manifest: Manifest) -> "Graph":
        """The graph of a manifest whose nodes have different ids: explicit edges first, then `depends`, each once."""
        graph = cls({node.id: index for index, node in enumerate(manifest.nodes)})
        graph.successors = {node: [] for node in graph.nodes}
        graph.predecessors = {node: [] for node in graph.nodes}
        graph.choosing = choosing(manifest)
        failing = [(edge.source, edge.target) for edge in manifest.edges if edge.on]
        for step in (*steps(manifest), *failing):
            graph._connect(*step)
        failing += handled_steps(manifest, graph)
        for step in failing:
            graph._connect(*step)
        graph.failing = frozenset(failing)
        graph._put_in_order()
        return graph

    @property
    def leaves_out(self) -> bool:
        """Whether there may be nodes that a run does not come to."""
        return bool(self.choosing or self.failing)

    def behind(self, target: str) -> set[str]:
        """A node and everything that comes after it."""
        return _reached(target, self.successors)

    def _connect(self, source: str, target: str) -> None:
        if source in self.nodes and target in self.nodes and target not in self.successors[source]:
            self.successors[source].append(target)
            self.predecessors[target].append(source)

    def _put_in_order(self) -> None:
        try:
            order = list(TopologicalSorter(self.predecessors).static_order())
        except CycleError as error:
            self.cycle = list(dict.fromkeys(error.args[1]))
            return
        for node in order:
            others = self.predecessors[node]
            self.before[node] = set(others).union(*(self.before[other] for other in others))

    def faults(self) -> Iterator[Diagnostic]:
        """A cycle, or nodes that nothing connects with the first: where they belong cannot be told."""
        if self.cycle:
            first = min(map(self.nodes.__getitem__, self.cycle))
            circle = ", ".join(sorted(self.cycle, key=self.nodes.__getitem__))
            yield Diagnostic(f"nodes[{first}]", "CYCLE", f"these come before themselves: {circle}")
            return
        connected: set[str] = set()
        for node, index in self.nodes.items():
            if connected and node not in connected:
                reason = (
                    f"no step connects {node!r} with {next(iter(self.nodes))!r}; say what it comes after, or before"
                )
                yield Diagnostic(f"nodes[{index}]", "NODE_UNREACHABLE", reason)
            if node not in connected:
                connected |= self._connected(node)

    def _connected(self, first: str) -> set[str]:
        return _reached(first, {node: [*self.successors[node], *self.predecessors[node]] for node in self.nodes})

    def passages(self) -> dict[str, set[str]]:
        """For each node those that every way to it leads through, itself among them. There must be no cycle."""
        places = {node: 1 << index for node, index in self.nodes.items()}
        through: dict[str, int] = {}
        for node in TopologicalSorter(self.predecessors).static_order():
            shared = [through[other] for other in self.predecessors[node]]
            through[node] = places[node] | functools.reduce(operator.and_, shared) if shared else places[node]
        return {node: {other for other in self.nodes if places[other] & on_all} for node, on_all in through.items()}

    def certain(self) -> dict[str, set[str]]:
        """For each node those before it that are done whenever it is, whatever was chosen. There must be no cycle."""
        order = list(TopologicalSorter(self.predecessors).static_order())
        places = {node: 1 << index for index, node in enumerate(order)}
        diverging = {source for source, _ in self.failing}
        shaky = {node for node in order if node in diverging or diverging & self.before[node]}
        """Nodes that may not be done although what they follow is: they, or others before them, may fail and be left."""
        brings: dict[str, int] = {}
        """What is done when a node is: what follows it without a choice."""
        for node in reversed(order):
            after = () if node in self.choosing else (one for one in self.successors[node] if one not in shaky)
            brings[node] = functools.reduce(operator.or_, (places[one] | brings[one] for one in after), 0)
        entries = (node for node in order if not self.predecessors[node] and node not in shaky)
        always = functools.reduce(operator.or_, (places[node] | brings[node] for node in entries), 0)
        sure: dict[str, int] = {}
        for node in order:
            ways = [
                sure[other] | (0 if (other, node) in self.failing else places[other])
                for other in self.predecessors[node]
            ]
            shared = functools.reduce(operator.and_, ways) if ways else 0
            done = (brings[other] for other in self.before[node] if places[other] & shared)
            before = functools.reduce(operator.or_, (places[other] for other in self.before[node]), 0)
            sure[node] = functools.reduce(operator.or_, done, always | shared) & before
        return {node: {other for other in self.before[node] if places[other] & sure[node]} for node in order}


def choosing(manifest: Manifest) -> frozenset[str]:
    """Nodes of whose steps at least one has a guard."""
    return frozenset(edge.source for edge in manifest.edges if edge.when is not None)


def choice_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Where it is not clear which step is taken when no guard holds, or a step stands twice."""
    guarded = choosing(manifest)
    otherwise: dict[str, int] = {}
    known: dict[tuple[str, str], int] = {}
    for index, edge in enumerate(manifest.edges):
        if edge.source not in guarded or edge.on:
            continue
        first = known.setdefault((edge.source, edge.target), index)
        if first != index:
            reason = f"edges[{first}] leads from {edge.source!r} to {edge.target!r} already; join their guards by ||"
            yield Diagnostic(f"edges[{index}]", "EDGE_DUPLICATE", reason)
        elif edge.when is None and otherwise.setdefault(edge.source, index) != index:
            reason = f"edges[{otherwise[edge.source]}] is taken already when no guard of {edge.source!r} holds"
            yield Diagnostic(f"edges[{index}]", "ELSE_TWICE", reason)
    for index, node in enumerate(manifest.nodes):
        for place, other in enumerate(node.depends):
            if other in guarded:
                reason = f"{other!r} goes on with one of its edges; say by an edge when {node.id!r} follows"
                yield Diagnostic(f"nodes[{index}].depends[{place}]", "DEPENDS_ON_CHOICE", reason)


def steps(manifest: Manifest) -> list[tuple[str, str]]:
    """Steps that successes take, in declaration order: edges first, then `depends`, each once.

    Without either, the order in which nodes are written, without those that only a failure leads to.
    """
    declared = [(edge.source, edge.target) for edge in manifest.edges if not edge.on]
    declared += [(other, node.id) for node in manifest.nodes for other in node.depends]
    if not declared:
        apart = {edge.target for edge in manifest.edges} | {handler.to for handler in manifest.error_handlers}
        ids = [node.id for node in manifest.nodes if node.id not in apart]
        declared = list(zip(ids, ids[1:], strict=False))
    return list(dict.fromkeys(declared))


def handled_steps(manifest: Manifest, graph: Graph) -> list[tuple[str, str]]:
    """Steps that handlers take, in a graph that has all others."""
    handlers = [handler for handler in manifest.error_handlers if handler.to in graph.nodes]
    apart = set().union(*(graph.behind(handler.to) for handler in handlers if handler.to))
    return [
        (node, handler.to)
        for handler in handlers
        if handler.to
        for node in handler.nodes or graph.nodes
        if handler.nodes or node not in apart
    ]


def _reached(start: str, ways: dict[str, list[str]]) -> set[str]:
    found, fresh = {start}, [start]
    while fresh:
        others = set(ways[fresh.pop()]) - found
        found |= others
        fresh += others
    return found
