"""The order of a manifest's nodes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.model import Manifest


@dataclass
class Graph:
    """Nodes and steps. A step that names an unknown node is left out; `checks` reports it."""

    nodes: dict[str, int]
    """Index in the manifest by id."""
    successors: dict[str, list[str]] = field(default_factory=dict)
    predecessors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> "Graph":
        """The graph of a manifest: explicit edges first, then `depends`, each once."""
        graph = cls({node.id: index for index, node in reversed(list(enumerate(manifest.nodes)))})
        graph.successors = {node: [] for node in graph.nodes}
        graph.predecessors = {node: [] for node in graph.nodes}
        for source, target in steps(manifest):
            if source in graph.nodes and target in graph.nodes:
                graph.successors[source].append(target)
                graph.predecessors[target].append(source)
        return graph

    def before(self, node: str) -> set[str]:
        """Every node that comes before one."""
        return self._reachable(self.predecessors, self.predecessors[node])

    def faults(self) -> Iterator[Diagnostic]:
        """Cycles, and what this version does not walk: more than one line of nodes."""
        cyclic = [node for node in self.nodes if node in self.before(node)]
        if cyclic:
            first = min(cyclic, key=self.nodes.__getitem__)
            circle = ", ".join(sorted(cyclic, key=self.nodes.__getitem__))
            yield Diagnostic(f"nodes[{self.nodes[first]}]", "CYCLE", f"these come before themselves: {circle}")
            return
        entries = sorted((index, node) for node, index in self.nodes.items() if not self.predecessors[node])
        for index, node in entries[1:]:
            reason = (
                f"{node!r} begins a second line beside {entries[0][1]!r}; this version walks one line, so connect it"
            )
            yield Diagnostic(f"nodes[{index}]", "NOT_SUPPORTED", reason)
        for node, index in sorted(self.nodes.items(), key=lambda item: item[1]):
            for what, others in (("follow", self.successors[node]), ("precede", self.predecessors[node])):
                if len(others) > 1:
                    reason = f"{', '.join(others)} {what} {node!r}; this version walks one line of nodes"
                    yield Diagnostic(f"nodes[{index}]", "NOT_SUPPORTED", reason)

    def _reachable(self, steps: dict[str, list[str]], frontier: list[str]) -> set[str]:
        found, waiting = set(frontier), list(frontier)
        while waiting:
            fresh = [node for node in steps[waiting.pop()] if node not in found]
            found.update(fresh)
            waiting.extend(fresh)
        return found


def steps(manifest: Manifest) -> list[tuple[str, str]]:
    """Steps in declaration order: edges first, then `depends`, each once. Without either, the order of declaration."""
    declared = [(edge.source, edge.target) for edge in manifest.edges]
    declared += [(other, node.id) for node in manifest.nodes for other in node.depends]
    if not declared:
        ids = [node.id for node in manifest.nodes]
        declared = list(zip(ids, ids[1:], strict=False))
    return list(dict.fromkeys(declared))
