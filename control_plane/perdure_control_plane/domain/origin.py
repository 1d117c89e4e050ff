"""Where an event that no holder appended comes from."""

from dataclasses import dataclass

from perdure.v1 import run_events_pb2
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.ids import SYSTEM


@dataclass(frozen=True, slots=True)
class Outside:
    """Origin of events that a control plane appends."""

    cause: run_events_pb2.OutsideCause.ValueType
    actor: str


def requested_by(caller: Caller) -> Outside:
    """What a caller asked for."""
    return Outside(run_events_pb2.OUTSIDE_CAUSE_REQUEST, caller.principal)


CLAIM = Outside(run_events_pb2.OUTSIDE_CAUSE_CLAIM, SYSTEM)
SWEEP = Outside(run_events_pb2.OUTSIDE_CAUSE_SWEEP, SYSTEM)
MESSAGE = Outside(run_events_pb2.OUTSIDE_CAUSE_MESSAGE, SYSTEM)
RESTORE = Outside(run_events_pb2.OUTSIDE_CAUSE_RESTORE, SYSTEM)


def reported_by(executor_id: str) -> Outside:
    """What a fenced executor said."""
    return Outside(run_events_pb2.OUTSIDE_CAUSE_LATE_REPORT, executor_id)
