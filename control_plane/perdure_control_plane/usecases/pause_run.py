"""Holds a run, as an operator says, until it is resumed."""

from perdure.audit.events import AuditType
from perdure.runlog.head import Hold
from perdure.runlog.states import TERMINAL, RunState
from perdure.v1 import fact_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import RunStateForbids, StopStands
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.origin import Outside, requested_by
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


async def pause_run(store: Store, caller: Caller, run_id: RunId, reason: str, request_id: str) -> Run:
    """Places the operator's hold. Nothing of the run begins from then on; what has begun ends at its holder.

    A run that an operator holds already is returned as it is. Raises NotFound, RunStateForbids, StopStands,
    RequestIdReused.
    """

    def body(tx: Transaction) -> Run:
        run = tx.runs.lock(run_id)
        if is_repetition(tx, caller, request_id, "PauseRun", run.name, reason):
            return run
        after = pause_now(tx, run, reason, requested_by(caller))
        if after is not run:
            tx.audit.record(Act(AuditType.RUN_PAUSED, caller, run.name, request_id, of_reason(reason)))
        return after

    return await store.write(body, Order.GUARDED)


def pause_now(tx: Transaction, run: Run, reason: str, origin: Outside) -> Run:
    """Holds a run inside a transaction. Raises RunStateForbids, StopStands."""
    check_not_over(run)
    if run.head.stop is not None:
        raise StopStands(run.name, run.head.stop)
    if run.head.holds & Hold.OPERATOR:
        return run
    placed = fact_events_pb2.HoldPlaced(cause=fact_events_pb2.HOLD_CAUSE_OPERATOR, reason=reason)
    return tx.log.append(run, [RunEvent(fact_recorded=fact_events_pb2.FactRecorded(hold_placed=placed))], origin)


def check_not_over(run: Run) -> None:
    """Raises RunStateForbids where the run has ended, or gone to another service: nothing of it is held here."""
    if run.head.state is RunState.MOVED:
        raise RunStateForbids(run.name, run.head.state, "ask the service that adopted it")
    if run.head.state in TERMINAL:
        raise RunStateForbids(run.name, run.head.state, "it has ended already")
