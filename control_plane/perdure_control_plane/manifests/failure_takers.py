"""What takes failures: edges with `on`, and error handlers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from perdure.expressions.templates import OPEN
from perdure.v1 import instances_pb2, plans_pb2
from perdure_control_plane.manifests.compiled_values import json_of
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.graph import Graph
from perdure_control_plane.manifests.model import ApprovalNode, FailureTaker, Manifest
from perdure_control_plane.manifests.wording import suggestion

FAILED: Final = "failed"
"""Every cause but a person's rejection."""

REJECTED: Final = "rejected"

CAUSES: Final = {
    name.removeprefix("FAILURE_CAUSE_"): number
    for name, number in instances_pb2.FailureCause.items()
    if number
    not in {
        instances_pb2.FAILURE_CAUSE_UNSPECIFIED,
        instances_pb2.FAILURE_CAUSE_DEADLINE,
        instances_pb2.FAILURE_CAUSE_EXECUTOR_LOST,
        instances_pb2.FAILURE_CAUSE_STOPPED,
        instances_pb2.FAILURE_CAUSE_CONTRACT_NOT_MET,
    }
}
"""Causes for which a node can fail for good, by the word for each."""

_FIELDS: Final = {
    "go_to": ("to",),
    "escalate": ("to",),
    "continue": ("output",),
    "fail": ("cause", "message"),
}
"""Which fields go with an action."""


def taking_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Faults of all edges with `on` and all handlers, but for where they stand in the order of nodes."""
    known: dict[tuple[str, str], int] = {}
    for index, edge in enumerate(manifest.edges):
        path = f"edges[{index}]"
        if edge.on and edge.when is not None:
            reason = "an edge that takes a failure has no guard; let it lead to a node that chooses"
            yield Diagnostic(f"{path}.when", "ON_WITH_WHEN", reason)
        if edge.on and edge.contract and (edge.contract.ensures or edge.contract.json_schema is not None):
            reason = "a node that has failed has no output; leave `ensures` and `schema` out"
            yield Diagnostic(f"{path}.contract", "CONTRACT_IMPOSSIBLE", reason)
        yield from _unknown_causes(f"{path}.on", edge.on or ())
        for word in edge.on or ():
            first = known.setdefault((edge.source, word), index)
            if first != index:
                reason = f"edges[{first}] takes it already when {edge.source!r} fails like this"
                yield Diagnostic(f"{path}.on", "ON_TWICE", reason)
    gates = {node.id: isinstance(node, ApprovalNode) for node in manifest.nodes}
    ids = {*gates} or {phase.phase_id for phase in manifest.phases}
    for index, handler in enumerate(manifest.error_handlers):
        path = f"error_handlers[{index}]"
        yield from _handler_faults(path, handler, ids)
        if handler.action in ("go_to", "escalate"):
            yield from _target_faults(path, handler, gates)


def coverage_faults(manifest: Manifest, graph: Graph) -> Iterator[Diagnostic]:
    """Handlers that are for no node at all."""
    for index, handler in enumerate(manifest.error_handlers):
        if handler.nodes is None and handler.to in graph.nodes and not covered(manifest, handler, graph):
            reason = f"it is for every node that does not come after {handler.to!r}, and there is none"
            yield Diagnostic(f"error_handlers[{index}].to", "HANDLER_COVERS_NOTHING", reason)


def covered(manifest: Manifest, handler: FailureTaker, graph: Graph) -> list[str]:
    """The nodes that a handler is for, in declaration order."""
    ids = [node.id for node in manifest.nodes] or [phase.phase_id for phase in manifest.phases]
    if handler.nodes is not None:
        return [node for node in ids if node in handler.nodes]
    if handler.to is None:
        return ids
    apart = set().union(*(graph.behind(one.to) for one in manifest.error_handlers if one.to in graph.nodes if one.to))
    return [node for node in ids if node not in apart]


def compiled(manifest: Manifest, handler: FailureTaker, graph: Graph) -> plans_pb2.ErrorHandler:
    """A handler, as a plan holds it."""
    made = plans_pb2.ErrorHandler(on=failures(handler.on), nodes=covered(manifest, handler, graph))
    match handler.action:
        case "go_to" | "escalate":
            made.go_to = handler.to or ""
        case "continue":
            made.output = json_of(handler.output)
        case "fail":
            made.fail = CAUSES[handler.cause] if handler.cause else instances_pb2.FAILURE_CAUSE_UNSPECIFIED
            made.message = handler.message or ""
    return made


def failures(words: Sequence[str]) -> plans_pb2.Failures:
    """What words stand for."""
    causes = [_cause(word) for word in words if word != FAILED]
    return plans_pb2.Failures(any=FAILED in words, causes=causes)


def _cause(word: str) -> instances_pb2.FailureCause.ValueType:
    return instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED if word == REJECTED else CAUSES[word]


def _unknown_causes(path: str, words: Sequence[str]) -> Iterator[Diagnostic]:
    known = (FAILED, REJECTED, *CAUSES)
    for word in words:
        if word not in known:
            reason = f"{word[:60]!r} is no cause of a node's failure{suggestion(word, known)}"
            yield Diagnostic(path, "CAUSE_UNKNOWN", reason)


def _handler_faults(path: str, handler: FailureTaker, ids: set[str]) -> Iterator[Diagnostic]:
    yield from _unknown_causes(f"{path}.on", handler.on)
    if handler.cause is not None and handler.cause not in (known := CAUSES):
        reason = f"{handler.cause[:60]!r} is no cause{suggestion(handler.cause, known)}"
        yield Diagnostic(f"{path}.cause", "CAUSE_UNKNOWN", reason)
    for place, node in enumerate(handler.nodes or ()):
        if node not in ids:
            yield Diagnostic(f"{path}.nodes[{place}]", "NODE_UNKNOWN", f"there is no node {node!r}")
    for field in ("to", "output", "cause", "message"):
        if getattr(handler, field) is not None and field not in _FIELDS[handler.action]:
            yield Diagnostic(f"{path}.{field}", "HANDLER_FIELD", f"the action {handler.action!r} has no {field!r}")
    if handler.action == "continue" and {REJECTED, "APPROVAL_REJECTED"} & {*handler.on}:
        reason = "what a person has rejected is not gone on with as if it were approved; go to another node, or fail"
        yield Diagnostic(f"{path}.on", "REJECTION_PASSED", reason)
    if _holds_expression(handler.output):
        reason = "it is given as it stands; it holds no expressions"
        yield Diagnostic(f"{path}.output", "EXPRESSION_INVALID", reason)


def _target_faults(path: str, handler: FailureTaker, gates: Mapping[str, bool]) -> Iterator[Diagnostic]:
    if handler.to is None:
        yield Diagnostic(f"{path}.to", "FIELD_MISSING", f"the action {handler.action!r} names a node")
    elif handler.to not in gates:
        yield Diagnostic(f"{path}.to", "NODE_UNKNOWN", f"there is no node {handler.to!r}")
    elif handler.action == "escalate" and not gates[handler.to]:
        reason = f"{handler.to!r} asks nobody; escalate to a node of type 'approval'"
        yield Diagnostic(f"{path}.to", "ESCALATE_NOT_APPROVAL", reason)


def _holds_expression(value: Any) -> bool:
    match value:
        case str():
            return OPEN in value
        case dict():
            return any(map(_holds_expression, value.values()))
        case list():
            return any(map(_holds_expression, value))
    return False
