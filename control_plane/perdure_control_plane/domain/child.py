"""A child run: what its log begins with, as its parent's log and the plan it walks say. Pure."""

from perdure.runlog import FOLD_VERSION
from perdure.runlog.effects import child_agent_id, child_session_id
from perdure.runlog.instances import instance
from perdure.runlog.plans import WalkPlan
from perdure.runlog.starting import planned_child
from perdure.v1 import instances_pb2, run_events_pb2
from perdure.v1.fact_events_pb2 import ChildStarted
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.ids import AgentId, RunId, SessionId
from perdure_control_plane.domain.session import Session


def child_session(parent: run_events_pb2.RunCreated, parent_run_id: RunId, child_id: str, at: int) -> Session:
    """The session of a child run, under its parent's."""
    return Session(
        session_id=SessionId(child_session_id(child_id)),
        root_agent_id=AgentId(child_agent_id(child_id)),
        created_at=at,
        parent_session_id=SessionId(parent.session_id),
        spawned_by_run_id=parent_run_id,
    )


def is_planned_part(plan: WalkPlan, parent_run_id: RunId, started: ChildStarted) -> bool:
    """Whether a part is what its parent's plan has for the attempt.

    What follows from the parent's log is not looked at: what the part is given, its redo, a shard's share of the limits.
    """
    where = instance(started.instance)
    spec = plan.nodes.get(where.node)
    if spec is not None and where.path[-1].item:
        spec = plan.shard(where.node) if spec.map.HasField("shard") else None
    if spec is None or not spec.HasField("part"):
        return False
    planned = planned_child(plan, parent_run_id, where, spec)
    planned.input_digest, planned.redo = started.input_digest, started.redo
    if where.path[-1].item:
        planned.shard.CopyFrom(started.shard)
    return started == planned


def first_events(
    parent: run_events_pb2.RunCreated, parent_run_id: RunId, started: ChildStarted, plan: WalkPlan, value: bytes
) -> list[RunEvent]:
    """What a child's log begins with. It is of its parent's flow, lineage, labels, priority and starter, and of its queue
    where it has none of its own."""
    created = run_events_pb2.RunCreated(
        flow_id=parent.flow_id,
        session_id=child_session_id(started.run_id),
        agent_id=child_agent_id(started.run_id),
        lineage=_lineage(parent, parent_run_id, started),
        plan_digest=started.plan_digest,
        fold_version=FOLD_VERSION,
        term=1,
        queue=started.queue or parent.queue,
        priority=parent.priority,
        input_digest=started.input_digest,
        providers=plan.message.providers,
        labels=sorted({*parent.labels, *plan.message.labels, *started.labels}),
        starter=parent.starter,
        playbook_id=started.playbook_id,
        playbook_version=started.playbook_version,
    )
    if started.part:
        created.part.instance.CopyFrom(started.instance)
        created.part.redo = started.redo
        if started.HasField("shard"):
            created.part.shard.CopyFrom(started.shard)
    limited = started if started.HasField("timeout") else plan.message
    if limited.HasField("timeout"):
        created.timeout.CopyFrom(limited.timeout)
    return [RunEvent(run_created=created), RunEvent(run_input=run_events_pb2.RunInput(json=value))]


def _lineage(parent: run_events_pb2.RunCreated, parent_run_id: RunId, started: ChildStarted) -> instances_pb2.Lineage:
    """Below the attempt that starts it; a part stands where its parent does."""
    line = parent.lineage
    return instances_pb2.Lineage(
        lineage_id=line.lineage_id,
        prefix=line.prefix if started.part else started.instance.path,
        prefix_redos=line.prefix_redos if started.part else [*line.prefix_redos, 0],
        parent_run_id=parent_run_id,
    )
