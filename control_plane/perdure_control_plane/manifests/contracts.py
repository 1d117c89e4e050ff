"""Contracts of nodes and edges: whether they can be checked, and kept."""

import re
from collections.abc import Collection, Iterator
from typing import Final

from perdure.expressions.templates import OPEN
from perdure_control_plane.manifests import declared
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.graph import Graph
from perdure_control_plane.manifests.maps import placed
from perdure_control_plane.manifests.model import (
    AgenticNode,
    DeterministicNode,
    FunctionNode,
    Manifest,
    Node,
    PromisedFile,
    Promises,
)

_SHA256: Final = re.compile("[0-9A-Fa-f]{64}")


def contract_faults(manifest: Manifest, graph: Graph | None) -> Iterator[Diagnostic]:
    """Faults of all contracts. `graph` has the order of nodes; None where nobody can tell."""
    known = {node.id: declared.outputs(node) for node in manifest.nodes}
    for path, node, outer in placed(manifest):
        if node.requires and node.requires.source is not None:
            before = None if graph is None else graph.before[outer.id]
            yield from _source_faults(f"{path}.requires", node, node.requires.source, known, before)
        if node.ensures:
            yield from _promise_faults(f"{path}.ensures", node, node.ensures)
    first: dict[tuple[str, str, bool], int] = {}
    for index, edge in enumerate(manifest.edges):
        path = f"edges[{index}].contract"
        step = (edge.source, edge.target, edge.on is not None)
        if edge.contract and first.setdefault(step, index) != index:
            reason = f"edges[{first[step]}] has a contract for the same step; make them one"
            yield Diagnostic(path, "EDGE_DUPLICATE", reason)
        if edge.contract and edge.source in known:
            yield from _unknown_fields(f"{path}.ensures", edge.source, edge.contract.ensures, known[edge.source])


def contract_doubts(manifest: Manifest, graph: Graph) -> Iterator[Diagnostic]:
    """Outputs that are required, and of nodes that may have been passed over."""
    sure = graph.certain() if graph.leaves_out else graph.before
    for index, node in enumerate(manifest.nodes):
        other = node.requires.source if node.requires else None
        if other in graph.before[node.id] and other not in sure[node.id]:
            reason = f"{other} may have been passed over, and then {node.id} fails"
            yield Diagnostic(f"nodes[{index}].requires.from", "NODE_MAY_BE_ABSENT", reason)


def _source_faults(
    path: str, node: Node, other: str, known: dict[str, declared.Fields], before: Collection[str] | None
) -> Iterator[Diagnostic]:
    if other not in known:
        yield Diagnostic(f"{path}.from", "NODE_UNKNOWN", f"there is no node {other!r}")
    elif before is not None and other not in before:
        yield Diagnostic(f"{path}.from", "REFERENCE_NOT_BEFORE", f"{other!r} does not come before it")
    else:
        yield from _unknown_fields(f"{path}.fields", other, node.requires.fields if node.requires else [], known[other])


def _promise_faults(path: str, node: Node, ensures: Promises) -> Iterator[Diagnostic]:
    if not isinstance(node, AgenticNode | DeterministicNode | FunctionNode):
        reason = "what comes of it is not looked at when it ends; put a contract on the edge that leaves it"
        yield Diagnostic(path, "CONTRACT_NOT_CHECKED", reason)
        return
    yield from _unknown_fields(f"{path}.fields", node.id, ensures.fields, declared.outputs(node))
    if ensures.exit_code is not None:
        codes = node.success_exit_codes if isinstance(node, DeterministicNode) else None
        if codes is None:
            yield Diagnostic(f"{path}.exit_code", "CONTRACT_IMPOSSIBLE", "only a command has an exit code")
        elif ensures.exit_code not in codes:
            reason = f"a command that ends with {ensures.exit_code} has failed; name it in success_exit_codes, too"
            yield Diagnostic(f"{path}.exit_code", "CONTRACT_IMPOSSIBLE", reason)
    for index, promised in enumerate(ensures.output_files):
        yield from _file_faults(f"{path}.output_files[{index}]", promised)


def _file_faults(path: str, promised: PromisedFile) -> Iterator[Diagnostic]:
    if promised.path.startswith("/") or ".." in promised.path.split("/"):
        reason = "a promised file is below the node's own directory; write its path from there, without '..'"
        yield Diagnostic(f"{path}.path", "PATH_OUTSIDE", reason)
    if promised.max_bytes is not None and promised.max_bytes < promised.min_bytes:
        yield Diagnostic(f"{path}.max_bytes", "CONTRACT_IMPOSSIBLE", "it is less than min_bytes")
    if promised.sha256 and OPEN not in promised.sha256 and not _SHA256.fullmatch(promised.sha256):
        yield Diagnostic(f"{path}.sha256", "FIELD_VALUE", "it must be 64 hexadecimal digits, or an expression")


def _unknown_fields(path: str, node: str, fields: list[str], known: declared.Fields) -> Iterator[Diagnostic]:
    for index, field in enumerate(fields):
        if known is not None and field not in known:
            reason = f"{node} never has an output {field!r}; it has {', '.join(known) or 'none'}"
            yield Diagnostic(f"{path}[{index}]", "CONTRACT_IMPOSSIBLE", reason)
