"""Finds who placed the holds of a run, when and why."""

from collections.abc import Iterator

from perdure.runlog.head import Hold
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.holds import StandingHold
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Transaction


def standing_holds(tx: Transaction, run: Run) -> tuple[StandingHold, ...]:
    """Holds that stand, the first placed first."""
    if not run.head.holds:
        return ()
    found: dict[Hold, StandingHold] = {}
    for recorded in _latest_facts(tx, run):
        placed = recorded.event.fact_recorded.hold_placed
        cause = Hold(1 << placed.cause)
        if cause & run.head.holds and cause not in found:
            at = recorded.stored_time.ToMicroseconds()
            found[cause] = StandingHold(cause, recorded.sequence, at, recorded.outside.actor, placed.reason)
        if sum(found) == run.head.holds:
            break
    return tuple(reversed(found.values()))


def _latest_facts(tx: Transaction, run: Run) -> Iterator[RecordedEvent]:
    """Facts from the latest backwards. While a run is held few come, so a hold is among the first; most often the first."""
    last = run.head.outside_sequence
    yield tx.events.at(run.run_id, last)
    while recorded := tx.events.last_of_kind_before(run.run_id, "fact_recorded", last):
        yield recorded
        last = recorded.sequence
