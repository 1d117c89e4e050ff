"""Takes a run from a holder that does not have it any more."""

from perdure.v1 import fact_events_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.ids import LeaseId, RunId
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.domain.origin import SWEEP
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.stop_run import end_event


def take_over(tx: Transaction, timing: Timing, run: Run, cause: run_events_pb2.RevocationCause.ValueType) -> Run:
    """Revokes the lease. A run that was to stop ends; one that gets nowhere from executor to executor is held."""
    stop, stop_reason = run.head.stop, "its executor was lost before it had stopped"
    run = tx.log.append(run, [revocation(run, cause)], SWEEP)
    if stop is not None:
        return tx.log.append(run, [end_event(stop, stop_reason)], SWEEP)
    if run.head.fruitless_takeovers >= timing.takeover_limit:
        placed = fact_events_pb2.HoldPlaced(cause=fact_events_pb2.HOLD_CAUSE_TAKEOVER_LIMIT)
        recorded = fact_events_pb2.FactRecorded(hold_placed=placed)
        return tx.log.append(run, [RunEvent(fact_recorded=recorded)], SWEEP)
    return run


def take_back(tx: Transaction, timing: Timing, run_id: RunId, lease_id: LeaseId) -> bool:
    """Takes a run back that its executor does not hold. False where that is no longer its lease, or it is gone itself."""
    run = tx.runs.find(run_id)
    if run is None or run.head.lease_id != lease_id:
        return False
    take_over(tx, timing, run, run_events_pb2.REVOCATION_CAUSE_NOT_HELD)
    return True


async def take_back_undelivered(store: Store, timing: Timing, run_id: RunId, lease_id: LeaseId) -> bool:
    """Takes a run back that could not be handed to the executor it was leased to. False where it has no such lease."""
    return await store.write(lambda tx: take_back(tx, timing, run_id, lease_id))


def revocation(run: Run, cause: run_events_pb2.RevocationCause.ValueType) -> RunEvent:
    """The event that takes a run from its holder."""
    revoked = run_events_pb2.LeaseRevoked(lease_id=run.head.lease_id or "", epoch=run.head.epoch + 1, cause=cause)
    return RunEvent(lease_revoked=revoked)
