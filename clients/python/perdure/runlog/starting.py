"""The intents to begin an attempt of a node."""

from perdure.runlog.effects import child_run_id
from perdure.runlog.instances import Instance, step_at
from perdure.runlog.intents import Record, Start
from perdure.runlog.plans import WalkPlan
from perdure.runlog.shards import share
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, node_events_pb2, plans_pb2
from perdure.v1.run_events_pb2 import RunEvent


def begin(walk: Walk, place: str, visit: int, attempt: int, redo: int, delay: float = 0.0) -> Start:
    """Begins an attempt, `delay` seconds from now."""
    path = (*walk.prefix, step_at(place, visit))
    return Start(walk.spec(place), Instance(path, attempt), redo, delay)


def child_start(walk: Walk, run_id: str, start: Start, input_digest: bytes) -> fact_events_pb2.ChildStarted:
    """Says that a child or part run begins as an attempt of a run. `input_digest` is of what it is given."""
    started = planned_child(walk.plan, run_id, start.instance, start.node)
    started.input_digest = input_digest
    if started.part:
        started.redo = start.redo
        if start.instance.path[-1].item:
            started.shard.CopyFrom(share(walk, start.instance))
    return started


def planned_child(
    plan: WalkPlan, run_id: str, where: Instance, spec: plans_pb2.PlanNode
) -> fact_events_pb2.ChildStarted:
    """What a plan has for a child or part run as an attempt of a node: without what it is given, and its redo and shard."""
    started = fact_events_pb2.ChildStarted(
        instance=where.message(), run_id=child_run_id(run_id, where), queue=spec.queue, labels=spec.labels
    )
    if spec.HasField("part"):
        started.playbook_id, started.playbook_version = plan.message.playbook_id, plan.message.version
        started.plan_digest, started.part = spec.part.plan_digest, True
    else:
        started.playbook_id, started.playbook_version = spec.playbook.playbook_id, spec.playbook.version
        started.plan_digest = spec.playbook.plan_digest
    if spec.HasField("timeout"):
        started.timeout.CopyFrom(spec.timeout)
    return started


def begin_again(walk: Walk, node: str) -> Record:
    """Begins another attempt of a map in the same visit: over the same list, for what has not succeeded."""
    begun = node_events_pb2.MapBegun()
    begun.CopyFrom(walk.maps[node].begun)
    begun.instance.attempt = walk.nodes[node].attempt + 1
    return Record((RunEvent(map_begun=begun),))
