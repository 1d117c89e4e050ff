"""Requests about queues as commands."""

from typing import Final

from perdure.v1 import queues_pb2
from perdure_control_plane.api import names, requests
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.usecases.update_queue import QueueUpdate

MOST_RUNS: Final = 1_000_000
LEAST_INTERVAL: Final = 1_000
"""Microseconds of a rate's period for each of its runs."""


def update(request: queues_pb2.UpdateQueueRequest) -> QueueUpdate:
    """What is to be set. Raises FieldInvalid."""
    at_work, queued = request.max_runs_at_work, request.max_queued_runs
    for field, value in (("max_runs_at_work", at_work), ("max_queued_runs", queued), ("rate.runs", request.rate.runs)):
        if not 0 <= value <= MOST_RUNS:
            raise field_invalid(field, f"is from 0 to {MOST_RUNS}")
    return QueueUpdate(
        queue=names.queue(request.name),
        max_at_work=at_work if request.HasField("max_runs_at_work") else None,
        max_queued=queued if request.HasField("max_queued_runs") else None,
        rate=_rate(request.rate) if request.HasField("rate") else None,
        reason=requests.reason(request.reason),
        request_id=requests.request_id(request.request_id),
    )


def _rate(rate: queues_pb2.QueueRate) -> tuple[int, int]:
    if not rate.runs:
        return 0, 0
    period = requests.positive_micros(rate.period, "rate.period")
    if period < rate.runs * LEAST_INTERVAL:
        raise field_invalid("rate.period", "is shorter than a millisecond for each run")
    return rate.runs, period
