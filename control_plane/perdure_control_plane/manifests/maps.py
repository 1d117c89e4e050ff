"""Maps in a manifest: the nodes inside them, and what is wrong with one."""

from collections.abc import Iterator

from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.model import ApprovalNode, Manifest, MapNode, Node


def placed(manifest: Manifest) -> Iterator[tuple[str, Node, Node]]:
    """Every node with its path in the document, and after each map the node inside; last the node or the map itself."""
    for index, node in enumerate(manifest.nodes):
        yield f"nodes[{index}]", node, node
        if isinstance(node, MapNode):
            yield f"nodes[{index}].node", node.node, node


def map_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Faults of all maps."""
    for index, node in enumerate(manifest.nodes):
        if isinstance(node, MapNode):
            for field, code, reason in _faults(node):
                yield Diagnostic(f"nodes[{index}].{field}", code, reason)


def _faults(node: MapNode) -> Iterator[tuple[str, str, str]]:
    inside = node.node
    if inside.depends:
        yield "node.depends", "MAP_FIELD", "what comes before the items comes before the map; write it there"
    if inside.on_failure.inject_into is not None:
        yield (
            "node.on_failure.inject_into",
            "MAP_FIELD",
            "an item goes nowhere; let the map go back, when it has failed",
        )
    if isinstance(inside, ApprovalNode) and inside.artifacts:
        yield "node.artifacts", "MAP_FIELD", "files are looked at again for an approval outside of a map"
    if node.retry is not None:
        yield "retry", "MAP_FIELD", "a map is not tried again, its items are; write it into `node`"
    if node.on_failure.max_iterations is not None and node.on_failure.inject_into is None:
        yield "on_failure.max_iterations", "MAP_FIELD", "a map is not tried again, its items are; write it into `node`"
    if node.tolerated_failures is not None and node.on_item_failure == "fail":
        yield "tolerated_failures", "MAP_FIELD", "it goes with `on_item_failure: continue`"
