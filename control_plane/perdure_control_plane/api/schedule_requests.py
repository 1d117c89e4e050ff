"""Requests about schedules as commands."""

from google.protobuf.duration_pb2 import Duration

from perdure.v1 import schedules_pb2
from perdure_control_plane.api import names, requests
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.schedule import Misfire, Overlap
from perdure_control_plane.usecases.create_schedule import NewSchedule
from perdure_control_plane.usecases.start_flow import Start

UTC = "UTC"
CATCH_UP = 3600 * SECOND
MOST_CATCH_UP = 7 * 24 * 3600 * SECOND
MOST_JITTER = 3600 * SECOND


def new_schedule(request: schedules_pb2.CreateScheduleRequest) -> NewSchedule:
    """What a schedule is to be. Raises FieldInvalid."""
    asked = request.schedule
    if not asked.WhichOneof("times"):
        raise field_invalid("schedule.times", "is required: cron or interval")
    interval = requests.positive_micros(asked.interval, "schedule.interval") if asked.HasField("interval") else 0
    if 0 < interval < SECOND:
        raise field_invalid("schedule.interval", "is shorter than a second")
    if interval and asked.time_zone:
        raise field_invalid("schedule.time_zone", "goes with cron; an interval has none")
    if asked.overlap not in _OVERLAPS:
        raise field_invalid("schedule.overlap", f"{asked.overlap} is unknown to this server")
    if asked.misfire not in _MISFIRES:
        raise field_invalid("schedule.misfire", f"{asked.misfire} is unknown to this server")
    catch_up = _bounded(asked.catch_up_window, "schedule.catch_up_window", MOST_CATCH_UP)
    return NewSchedule(
        schedule_id=names.chosen_id(request.schedule_id, "schedule_id"),
        start=_start(asked),
        cron=asked.cron,
        interval=interval,
        time_zone=asked.time_zone or UTC,
        overlap=_OVERLAPS[asked.overlap],
        misfire=_MISFIRES[asked.misfire],
        catch_up_window=catch_up or CATCH_UP,
        jitter=_bounded(asked.jitter, "schedule.jitter", MOST_JITTER),
        request_id=requests.request_id(request.request_id),
    )


def _start(asked: schedules_pb2.Schedule) -> Start:
    for field in ("idempotency_key", "flow_id"):
        if getattr(asked.start, field):
            raise field_invalid(f"schedule.start.{field}", "is each firing's own; leave it empty")
    request = type(asked.start)()
    request.CopyFrom(asked.start)
    request.idempotency_key = "schedule"
    return requests.start(request)


def _bounded(value: Duration, field: str, most: int) -> int:
    micros = value.ToMicroseconds()
    if not 0 <= micros <= most:
        raise field_invalid(field, f"is from 0 to {most // SECOND} s")
    return micros


_OVERLAPS = {
    schedules_pb2.OVERLAP_POLICY_UNSPECIFIED: Overlap.SKIP,
    **{schedules_pb2.OverlapPolicy.Value(f"OVERLAP_POLICY_{one}"): one for one in Overlap},
}
_MISFIRES = {
    schedules_pb2.MISFIRE_POLICY_UNSPECIFIED: Misfire.RUN_ONCE,
    **{schedules_pb2.MisfirePolicy.Value(f"MISFIRE_POLICY_{one}"): one for one in Misfire},
}
