"""Schedules and their firings as messages."""

from perdure.v1 import flows_pb2, schedules_pb2
from perdure_control_plane.api.messages.times import duration, timestamp
from perdure_control_plane.domain.playbook import version_name
from perdure_control_plane.domain.schedule import Firing, Schedule
from perdure_control_plane.usecases.schedule_starts import start_of


def schedule(value: Schedule) -> schedules_pb2.Schedule:
    """A schedule."""
    message = schedules_pb2.Schedule(
        name=value.name,
        start=_start(value),
        overlap=schedules_pb2.OverlapPolicy.Value(f"OVERLAP_POLICY_{value.overlap}"),
        misfire=schedules_pb2.MisfirePolicy.Value(f"MISFIRE_POLICY_{value.misfire}"),
        catch_up_window=duration(value.catch_up_window),
        paused=value.paused,
        next_time=timestamp(value.next_at),
        create_time=timestamp(value.created_at),
    )
    if value.cron:
        message.cron, message.time_zone = value.cron, value.time_zone
    else:
        message.interval.CopyFrom(duration(value.interval))
    if value.jitter:
        message.jitter.CopyFrom(duration(value.jitter))
    return message


def _start(value: Schedule) -> flows_pb2.StartFlowRequest:
    start = start_of(value)
    message = flows_pb2.StartFlowRequest(
        playbook_version=version_name(start.playbook_id, start.version),
        digest=start.digest,
        session=f"sessions/{start.session_id}",
        request=flows_pb2.FlowRequest(content=start.content, input=start.input, provider=start.provider),
        queue=start.queue,
        priority=start.priority,
    )
    if start.metadata:
        message.request.metadata.update(start.metadata)
    if start.timeout_micros:
        message.timeout.CopyFrom(duration(start.timeout_micros))
    return message


def firing(value: Firing) -> schedules_pb2.Firing:
    """What became of a time."""
    return schedules_pb2.Firing(
        schedule=f"schedules/{value.schedule_id}",
        scheduled_time=timestamp(value.scheduled_at),
        fire_time=timestamp(value.fired_at),
        state=schedules_pb2.Firing.State.Value(f"STATE_{value.state}"),
        flow=f"flows/{value.flow_id}" if value.flow_id else "",
        message=value.message,
        triggered=value.triggered,
    )
