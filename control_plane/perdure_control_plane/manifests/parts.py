"""Nodes that are done in another queue, or by executors with labels: what is wrong with one, and what a part sees."""

import hashlib
from collections.abc import Iterator

from perdure.runlog.parts import part_plan
from perdure.runlog.plans import every_node
from perdure.v1 import instances_pb2, plans_pb2
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.expressions import ITEM_NAMES, Bare, Template, templates
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
    outer.ClearField("secrets")
    outer.ClearField("sensitive")
    outer.effect = instances_pb2.EFFECT_NONE
    inside.ClearField("iteration_cap")
    inside.ClearField("inject_into")
    inside.ClearField("backoff")
    inside.ClearField("requires")
    outer.part.node.CopyFrom(inside)  # in place of what does the node here
    outer.part.reads.extend(plans_pb2.Reading(keys=keys) for keys in reads(node))
    return outer


def shard_of(node: MapNode, made: plans_pb2.MapNode) -> plans_pb2.PartNode | None:
    """What does a shard of a compiled map; None for items that wait, of which there are no more than one run may have."""
    if isinstance(node.node, ApprovalNode | WaitNode):
        return None
    inside = plans_pb2.PlanNode(id=node.id, effect=instances_pb2.EFFECT_NONE, description=node.description, map=made)
    shard = plans_pb2.PartNode(node=inside)
    shard.node.map.ClearField("items")  # its piece of the list is given
    shard.reads.extend(plans_pb2.Reading(keys=keys) for keys in _in_order(_read_inside(node)))
    return shard


def set_digests(plan: plans_pb2.Plan) -> None:
    """Adds the digests of the plans of all parts, of those first that others have inside."""
    for node in reversed(list(every_node(plan))):
        if node.HasField("part"):
            node.part.plan_digest = hashlib.sha256(part_plan(plan, node.part.node)).digest()
        elif node.map.HasField("shard"):
            node.map.shard.plan_digest = hashlib.sha256(part_plan(plan, node.map.shard.node)).digest()


def reads(node: Node) -> list[Chain]:
    """Everything that a part which does a node without faults may read, in order; no chain is the beginning of another."""
    found = _read_by(node)
    if isinstance(node, MapNode):
        found |= Bare(node.items).chains | _read_inside(node)
    return _in_order(found)


def _in_order(found: set[Chain]) -> list[Chain]:
    return [chain for chain in sorted(found) if not any(chain[:length] in found for length in range(len(chain)))]


def _read_by(node: Node) -> set[Chain]:
    return set().union(*(Template(text).chains for _, text in templates(node)))


def _read_inside(node: MapNode) -> set[Chain]:
    """What is read for each item, by what it requires, too: that is looked at where it is done."""
    needs, found = node.node.requires, {chain for chain in _read_by(node.node) if chain[0] not in ITEM_NAMES}
    if needs is None:
        return found
    if needs.source is not None:
        return found | {("nodes", needs.source)}
    return {()} if needs.json_schema is not None else found | {(field,) for field in needs.fields}
