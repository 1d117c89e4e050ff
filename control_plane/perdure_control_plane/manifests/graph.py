"""The order of a manifest's nodes."""

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
    before: dict[str, set[str]] = field(default_factory=dict)
    """Every node that comes before one, by its id; empty where there is a cycle."""

    @classmethod
    def of(cls, manifest: Manifest) -> "Graph":
        """The graph of a manifest whose nodes have different ids: explicit edges first, then `depends`, each once."""
        graph = cls({node.id: index for index, node in enumerate(manifest.nodes)})
        graph.successors = {node: [] for node in graph.nodes}
        graph.predecessors = {node: [] for node in graph.nodes}
        for source, target in steps(manifest):
            if source in graph.nodes and target in graph.nodes:
                graph.successors[source].append(target)
                graph.predecessors[target].append(source)
        graph._put_in_order()
        return graph

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
        """A cycle, or what this version does not walk: more than one line of nodes."""
        if self.cycle:
            first = min(map(self.nodes.__getitem__, self.cycle))
            circle = ", ".join(sorted(self.cycle, key=self.nodes.__getitem__))
            yield Diagnostic(f"nodes[{first}]", "CYCLE", f"these come before themselves: {circle}")
            return
        entries = [(index, node) for node, index in self.nodes.items() if not self.predecessors[node]]
        for index, node in entries[1:]:
            reason = (
                f"{node!r} begins a second line beside {entries[0][1]!r}; this version walks one line, so connect it"
            )
            yield Diagnostic(f"nodes[{index}]", "NOT_SUPPORTED", reason)
        for node, index in self.nodes.items():
            for what, others in (("follow", self.successors[node]), ("precede", self.predecessors[node])):
                if len(others) > 1:
                    reason = f"{', '.join(others)} {what} {node!r}; this version walks one line of nodes"
                    yield Diagnostic(f"nodes[{index}]", "NOT_SUPPORTED", reason)


def steps(manifest: Manifest) -> list[tuple[str, str]]:
    """Steps in declaration order: edges first, then `depends`, each once. Without either, the order of declaration."""
    declared = [(edge.source, edge.target) for edge in manifest.edges]
    declared += [(other, node.id) for node in manifest.nodes for other in node.depends]
    if not declared:
        ids = [node.id for node in manifest.nodes]
        declared = list(zip(ids, ids[1:], strict=False))
    return list(dict.fromkeys(declared))
