"""What people do with an open approval beside deciding it: a fact of its run, and an audit event, in one commit."""

from collections.abc import Callable
from dataclasses import dataclass

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.instances import parse_instance
from perdure.v1 import fact_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.approval import Approval, check_open
from perdure_control_plane.domain.audit import Act, Details
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.ids import ApprovalId
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.readings.approval_contents import with_contents
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class Deed:
    """One of these: what is checked with the run locked, and the fact and the audit event that come of it."""

    method: str
    approval_id: ApprovalId
    request_id: str
    said: tuple[str, ...]
    audited_as: AuditType
    details: Details
    recorded: Callable[[Transaction, Approval], fact_events_pb2.FactRecorded]
    """Raises where it may not be."""


async def do(store: Store, caller: Caller, deed: Deed) -> Approval:
    """Does it, once for a request id. Raises NotFound, ApprovalClosed, ApprovalDecided, RequestIdReused, and what the deed
    itself raises."""

    def body(tx: Transaction) -> Approval:
        run = tx.runs.lock(tx.approvals.get(deed.approval_id).run_id)
        approval = tx.approvals.get(deed.approval_id)
        if not is_repetition(tx, caller, deed.request_id, deed.method, approval.name, *deed.said):
            check_open(approval)
            recorded = deed.recorded(tx, approval)
            recorded.instance.CopyFrom(parse_instance(approval.instance).message())
            tx.log.append(run, [RunEvent(fact_recorded=recorded)], requested_by(caller))
            details = {AuditDetail.RUN: run.name, **deed.details}
            tx.audit.record(Act(deed.audited_as, caller, approval.name, deed.request_id, details))
        return with_contents(tx, tx.approvals.get(deed.approval_id))

    return await store.write(body, Order.GUARDED)
