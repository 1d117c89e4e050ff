"""Part runs: nodes that are done in a run of their own, as if they were done in the run that has them.

A part has its parent's place in the lineage and does one attempt of one node there, so all addresses and keys are what they
would be without it. What it sees is what its parent saw. Further attempts are its parent's to begin, each as another part.
"""

from collections.abc import Iterable, Iterator, Sequence

from perdure.runlog.effects import GUARDED
from perdure.runlog.instances import Instance
from perdure.runlog.json_objects import JsonObject
from perdure.runlog.plans import every_node, worst_effect
from perdure.runlog.walk import Walk
from perdure.v1 import plans_pb2


def part_plan(plan: plans_pb2.Plan, node: plans_pb2.PlanNode) -> bytes:
    """The stored form of the plan that a part walks which does this node of a plan."""
    alone = plans_pb2.Plan(
        playbook_id=plan.playbook_id,
        version=plan.version,
        playbook_digest=plan.playbook_digest,
        jump_limit=plan.jump_limit,
        nodes=[node],
    )
    alone.providers.extend(providers_of(alone))
    return alone.SerializeToString(deterministic=True)


def part_plans(plan: plans_pb2.Plan) -> list[bytes]:
    """The stored forms of the plans of all parts that a plan has, those of shards among them."""
    return [part_plan(plan, node) for node in done_in_parts(plan)]


def done_in_parts(plan: plans_pb2.Plan) -> Iterator[plans_pb2.PlanNode]:
    """Every node that a part of a plan does: of its own parts, and of its maps where their lists are long."""
    for node in every_node(plan):
        if node.HasField("part"):
            yield node.part.node
        elif node.map.HasField("shard"):
            yield node.map.shard.node


def providers_of(plan: plans_pb2.Plan) -> list[str]:
    """Model providers that whoever walks a plan must have; those of its parts are for the parts."""
    here = plans_pb2.Plan(nodes=(node for node in plan.nodes if not node.HasField("part")))
    return sorted({node.agentic.provider for node in every_node(here) if node.HasField("agentic")})


def is_guarded_part(walk: Walk, where: Instance) -> bool:
    """Whether an attempt that waits does so for a part that does what must not be cut short."""
    spec = walk.spec(where.place)
    return spec.HasField("part") and bool(walk.waits[where].child) and worst_effect(spec) in GUARDED


def excerpt(seen: JsonObject, reads: Iterable[Sequence[str]]) -> JsonObject:
    """Of what is seen, what each list of keys leads to, in its place; an empty one leads to all. No list is the beginning
    of another."""
    found: JsonObject = {}
    for keys in reads:
        if not keys:
            return dict(seen)
        source, target = seen, found
        for depth, key in enumerate(keys, 1):
            if key not in source:
                break
            inner = source[key]
            if depth == len(keys) or not isinstance(inner, dict):
                target[key] = inner
                break
            source, target = inner, target.setdefault(key, {})
    return found
