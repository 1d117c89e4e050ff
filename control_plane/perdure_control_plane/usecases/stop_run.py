"""Stops a run: for good, or so that it can be continued."""

from typing import Final

from perdure.audit.events import AuditType
from perdure.runlog.head import STOP_ENDS, Stop
from perdure.runlog.states import CONTINUABLE, RunState
from perdure.v1 import instances_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import RunStateForbids, StopStands
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.origin import Outside, requested_by
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition

STOPPED: Final = {
    Stop.CANCEL: AuditType.RUN_CANCELLED,
    Stop.INTERRUPT: AuditType.RUN_INTERRUPTED,
    Stop.DEADLINE: AuditType.RUN_TIMED_OUT,
}
"""What a stop is called where it is remembered who wanted it."""


async def stop_run(store: Store, caller: Caller, run_id: RunId, stop: Stop, reason: str, request_id: str) -> Run:
    """Asks a run's holder to stop, or ends the run where it has none.

    A run that is already where the stop leads is returned as it is. Raises NotFound, RunStateForbids, StopStands,
    RequestIdReused.
    """

    def body(tx: Transaction) -> Run:
        run = tx.runs.lock(run_id)
        if is_repetition(tx, caller, request_id, f"Stop.{stop}", run.name, reason):
            return run
        after = stop_now(tx, run, stop, reason, requested_by(caller))
        if after is not run:
            tx.audit.record(Act(STOPPED[stop], caller, run.name, request_id, of_reason(reason)))
        return after

    return await store.write(body, Order.GUARDED)


def stop_now(tx: Transaction, run: Run, stop: Stop, reason: str, origin: Outside) -> Run:
    """Stops a run inside a transaction. Raises RunStateForbids, StopStands; and StoreUnavailable where the run would end in
    another copy of the data, until it is known as one."""
    head = run.head
    if head.state is STOP_ENDS[stop] or head.stop is stop:
        return run
    if head.state is RunState.RUNNING:
        if head.stop is not None and stop is not Stop.CANCEL:
            raise StopStands(run.name, head.stop)
        kind = run_events_pb2.StopKind.Value(f"STOP_KIND_{stop}")
        requested = run_events_pb2.StopRequested(kind=kind, reason=reason)
        return tx.log.append(run, [RunEvent(stop_requested=requested)], origin)
    _check_endable(run, stop)
    tx.copy.check_is_the_same()  # an end would keep the run from being held for what this copy may lack
    return tx.log.append(run, [end_event(stop, reason)], origin)


def end_event(stop: Stop, reason: str) -> RunEvent:
    """The event that ends a run without a holder as a stop wants it."""
    deadline = stop is Stop.DEADLINE
    cause = instances_pb2.FAILURE_CAUSE_DEADLINE if deadline else instances_pb2.FAILURE_CAUSE_STOPPED
    return RunEvent(run_ended=run_events_pb2.RunEnded(state=STOP_ENDS[stop].message(), cause=cause, message=reason))


def _check_endable(run: Run, stop: Stop) -> None:
    state = run.head.state
    if state in (RunState.QUEUED, RunState.PAUSED) or (stop is Stop.CANCEL and state in CONTINUABLE):
        return
    way_out = "it has ended already" if state is not RunState.MOVED else "ask the service that adopted it"
    raise RunStateForbids(run.name, state, way_out)
