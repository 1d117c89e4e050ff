"""Queues as messages."""

from perdure.v1 import queues_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.queue import Queue


def queue(value: Queue, at: int) -> queues_pb2.Queue:
    """A queue, as it is at a time."""
    limits = value.limits
    message = queues_pb2.Queue(
        name=value.name,
        max_runs_at_work=limits.max_at_work,
        max_queued_runs=limits.max_queued,
        queued_runs=value.queued,
        runs_at_work=value.at_work,
        update_time=timestamp(limits.updated_at),
        updater=limits.updated_by,
        update_reason=limits.reason,
    )
    if limits.rate_runs:
        message.rate.runs = limits.rate_runs
        message.rate.period.FromMicroseconds(limits.rate_period)
        if limits.next_at > at:
            message.next_claim_time.FromMicroseconds(limits.next_at)
    return message
