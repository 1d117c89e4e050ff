"""From when an effect in doubt may be done again or be said to have failed, as its run's log has it."""

from perdure.runlog.inbox import Doubt
from perdure_control_plane.domain.ids import Incarnation
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.domain.retrying import work_surely_over_at
from perdure_control_plane.usecases.fold_run import FoldedRun
from perdure_control_plane.usecases.ports import Transaction


def retry_at(tx: Transaction, timing: Timing, folded: FoldedRun, doubt: Doubt) -> int:
    """Microseconds since 1970 from when its work has surely ended; 0 where it is known to have."""
    if not doubt.lost_sequence or doubt.report is not None:
        return 0
    run_id = folded.run.run_id
    loss = tx.events.at(run_id, doubt.lost_sequence)
    granted = tx.events.last_of_kind_before(run_id, "lease_granted", doubt.lost_sequence)
    holder_until = tx.executors.lease_until(Incarnation(granted.event.lease_granted.incarnation)) if granted else 0
    return work_surely_over_at(loss, holder_until, timing)
