"""The intents to begin an attempt of a node."""

from perdure.runlog.effects import child_run_id
from perdure.runlog.instances import Instance, step_at
from perdure.runlog.intents import Record, Start
from perdure.runlog.shards import share
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent


def begin(walk: Walk, place: str, visit: int, attempt: int, redo: int, delay: float = 0.0) -> Start:
    """Begins an attempt, `delay` seconds from now."""
    path = (*walk.prefix, step_at(place, visit))
    return Start(walk.spec(place), Instance(path, attempt), redo, delay)


def child_start(walk: Walk, run_id: str, start: Start, input_digest: bytes) -> fact_events_pb2.ChildStarted:
    """Says that a child or part run begins as an attempt of a run. `input_digest` is of what it is given."""
    spec, plan = start.node, walk.plan
    started = fact_events_pb2.ChildStarted(
        instance=start.instance.message(),
        run_id=child_run_id(run_id, start.instance),
        input_digest=input_digest,
        queue=spec.queue,
        labels=spec.labels,
    )
    if spec.HasField("part"):
        started.playbook_id, started.playbook_version = plan.message.playbook_id, plan.message.version
        started.plan_digest, started.part, started.redo = spec.part.plan_digest, True, start.redo
        if start.instance.path[-1].item:
            started.shard.CopyFrom(share(walk, start.instance))
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
