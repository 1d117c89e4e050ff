"""What lists of runs say of each beside its row, for many at once."""

from collections.abc import Sequence

from perdure_control_plane.domain.explanation import QueueReason
from perdure_control_plane.domain.holds import StandingHold
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.inbox import Wait
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Transaction
from perdure_control_plane.usecases.readings.queue_reasons import queue_reasons
from perdure_control_plane.usecases.readings.standing_holds import standing_holds

Details = tuple[list[Wait], tuple[StandingHold, ...], QueueReason | None]


def run_details(tx: Transaction, runs: Sequence[Run]) -> dict[RunId, Details]:
    """What each run waits for, what holds it, and what keeps it in its queue."""
    queued = queue_reasons(tx, runs)
    waits: dict[RunId, list[Wait]] = {run.run_id: [] for run in runs}
    for wait in tx.inbox.open_waits([run.run_id for run in runs if run.head.open_waits]):
        waits[wait.run_id].append(wait)
    return {run.run_id: (waits[run.run_id], standing_holds(tx, run), queued.get(run.run_id)) for run in runs}
