"""Releases the hold that an operator has placed."""

from perdure.audit.events import AuditType
from perdure.runlog.head import Hold, RunHead
from perdure.runlog.recovery import CONTINUE_RELEASES
from perdure.v1 import fact_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import NotHeld
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.origin import Outside, requested_by
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.pause_run import check_not_over
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


async def resume_run(store: Store, caller: Caller, run_id: RunId, reason: str, request_id: str) -> Run:
    """Releases the operator's hold, whoever placed it. Other holds, doubts and waits stay as they are.

    Raises NotFound, RunStateForbids, NotHeld, RequestIdReused.
    """

    def body(tx: Transaction) -> Run:
        run = tx.runs.lock(run_id)
        if is_repetition(tx, caller, request_id, "ResumeRun", run.name, reason):
            return run
        after = resume_now(tx, run, reason, requested_by(caller))
        if after is not run:
            tx.audit.record(Act(AuditType.RUN_RESUMED, caller, run.name, request_id, of_reason(reason)))
        return after

    return await store.write(body, Order.GUARDED)


def resume_now(tx: Transaction, run: Run, reason: str, origin: Outside) -> Run:
    """Releases the operator's hold inside a transaction. Raises RunStateForbids, NotHeld."""
    check_not_over(run)
    if not run.head.holds & Hold.OPERATOR:
        standing = ",".join(hold.name or "" for hold in Hold if hold & run.head.holds)
        raise NotHeld(run.name, standing, _way_out(run.head))
    released = fact_events_pb2.HoldReleased(cause=fact_events_pb2.HOLD_CAUSE_OPERATOR, reason=reason)
    return tx.log.append(run, [RunEvent(fact_recorded=fact_events_pb2.FactRecorded(hold_released=released))], origin)


def _way_out(head: RunHead) -> str:
    if head.in_doubt:
        return "resolve its effects in doubt"
    if head.holds & CONTINUE_RELEASES:
        return "it is held for another reason: look why, then continue it"
    if head.holds:
        return "it is offered to another service: withdraw the offer"
    return "it waits for a decision" if head.open_waits and not head.ready else "it goes on by itself"
