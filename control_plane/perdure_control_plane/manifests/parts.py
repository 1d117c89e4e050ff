"""Nodes that are done in another queue, or by executors with labels: what is wrong with one, and what a part sees."""

from collections.abc import Iterable, Iterator

from perdure.v1 import instances_pb2, plans_pb2
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.expressions import Bare, Template, templates
from perdure_control_plane.manifests.model import ApprovalNode, Manifest, MapNode, Node, PlaybookNode, WaitNode
from perdure_control_plane.manifests.readings import Chain

ELSEWHERE = ("queue", "labels")
"""Fields by which a node is done elsewhere."""


def part_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Faults of all nodes that are to be done elsewhere."""
    for index, node in enumerate(manifest.nodes):
        path = f"nodes[{index}]"
        yield from _faults(path, node)
        if isinstance(node, MapNode):
            yield from _faults_inside(path, node)


def _faults(path: str, node: Node) -> Iterator[Diagnostic]:
    if isinstance(node, ApprovalNode | WaitNode):
        yield from _refused(path, node, "nobody works while it waits, so no executor is chosen for it; leave it out")
    elif isinstance(node, MapNode) and isinstance(node.node, ApprovalNode | WaitNode):
        yield from _refused(path, node, "nobody works while its items wait, so no executor is chosen; leave it out")


def _faults_inside(path: str, node: MapNode) -> Iterator[Diagnostic]:
    inside = node.node
    if not isinstance(inside, PlaybookNode):
        yield from _refused(f"{path}.node", inside, "write it on the map: all of its items are done in one place")


def _refused(path: str, node: Node, reason: str) -> Iterator[Diagnostic]:
    for field in ELSEWHERE:
        if getattr(node, field):
            yield Diagnostic(f"{path}.{field}", "PART_FIELD", reason)


def placed(node: Node, made: plans_pb2.PlanNode) -> plans_pb2.PlanNode:
    """A compiled node, where it is to be done: elsewhere in a part, but for a child, which is a run already."""
    if not (node.queue or node.labels):
        return made
    if not isinstance(node, PlaybookNode):
        made = _as_part(node, made)
    made.queue = node.queue or ""
    made.labels.extend(sorted(set(node.labels)))
    return made


def _as_part(node: Node, made: plans_pb2.PlanNode) -> plans_pb2.PlanNode:
    """The node that starts a part which does a compiled one; the digest of the part's plan is to be added."""
    outer, inside = plans_pb2.PlanNode(), plans_pb2.PlanNode()
    outer.CopyFrom(made)
    inside.CopyFrom(made)
    outer.ClearField("timeout")
    outer.ClearField("inputs")
    outer.ClearField("ensures")
    outer.effect = instances_pb2.EFFECT_NONE
    inside.ClearField("iteration_cap")
    inside.ClearField("inject_into")
    inside.ClearField("backoff")
    inside.ClearField("requires")
    outer.part.node.CopyFrom(inside)  # in place of what does the node here
    outer.part.reads.extend(plans_pb2.Reading(keys=keys) for keys in reads(node))
    return outer


def reads(node: Node) -> list[Chain]:
    """Everything that the expressions of a node without faults may read, in order; no chain is the beginning of another."""
    found = sorted(set().union(*(template.chains for template in _templates(node))))
    return [chain for chain in found if not any(chain[:length] in found for length in range(1, len(chain)))]


def _templates(node: Node) -> Iterable[Template]:
    yield from (Template(text) for _, text in templates(node))
    if isinstance(node, MapNode):
        yield Bare(node.items)
        yield from (Template(text) for _, text in templates(node.node))
