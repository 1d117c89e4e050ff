"""Finds who placed the holds of a run, when and why."""

from collections.abc import Sequence

from perdure.runlog.head import Hold
from perdure_control_plane.domain.holds import StandingHold
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.inbox import Wait
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Transaction


def standing_holds(tx: Transaction, run: Run) -> tuple[StandingHold, ...]:
    """Holds that stand, the first placed first.

    Reads facts from the latest backwards until it has them all; while a run is held few come, and payloads are not among
    them.
    """
    found: dict[Hold, StandingHold] = {}
    before = run.head.outside_sequence + 1
    while sum(found) != run.head.holds:
        recorded = tx.events.last_of_kind_before(run.run_id, "fact_recorded", before)
        if recorded is None:
            break
        before, placed = recorded.sequence, recorded.event.fact_recorded.hold_placed
        cause = Hold(1 << placed.cause)
        if recorded.event.fact_recorded.HasField("hold_placed") and cause & run.head.holds and cause not in found:
            at = recorded.stored_time.ToMicroseconds()
            found[cause] = StandingHold(cause, before, at, recorded.outside.actor, placed.reason)
    return tuple(reversed(found.values()))


def run_details(tx: Transaction, runs: Sequence[Run]) -> dict[RunId, tuple[list[Wait], tuple[StandingHold, ...]]]:
    """What each run waits for, and what holds it."""
    waits = tx.approvals.open_waits([run.run_id for run in runs if run.head.open_waits])
    return {
        run.run_id: ([wait for wait in waits if wait.run_id == run.run_id], standing_holds(tx, run)) for run in runs
    }
