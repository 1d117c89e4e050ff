"""From when an effect in doubt may be tried again: not while a lost executor may still be at it."""

from perdure.v1 import run_events_pb2
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.limits import Timing


def work_surely_over_at(loss: RecordedEvent, holder_until: int, timing: Timing) -> int:
    """When whatever ran under a lease has ended wherever it ran, in microseconds since 1970.

    `loss` is the event that took the run. `holder_until` is the end of the lease that its executor has by now, which may
    have been renewed since; 0 where the executor is forgotten. An executor that cannot be reached ends its work at its
    work end, which is one stall allowance after the end of its lease, and may take the stop grace for it. One that can be
    reached was told, and may not be able to end what runs: as long as it lives, only its report says that it has ended.
    """
    lost_at = loss.stored_time.ToMicroseconds()
    match loss.event.lease_revoked.cause:
        case run_events_pb2.REVOCATION_CAUSE_NOT_HELD:
            return lost_at  # the executor itself said that nothing of it runs
        case run_events_pb2.REVOCATION_CAUSE_LAPSED:
            lease_end = lost_at
        case _:
            lease_end = lost_at + timing.lease
    return max(lease_end, holder_until) + timing.stall_allowance + timing.stop_grace
