"""Closes a request that nobody is to decide any more."""

from dataclasses import dataclass

from perdure.audit.events import AuditType
from perdure.v1 import approval_facts_pb2, fact_events_pb2
from perdure_control_plane.domain.approval import Approval
from perdure_control_plane.domain.audit import of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import NotRequester
from perdure_control_plane.domain.ids import ApprovalId
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.usecases.approval_deeds import Deed, do
from perdure_control_plane.usecases.ports import Store, Transaction


@dataclass(frozen=True, slots=True)
class Withdrawing:
    """Why nobody is to decide it any more."""

    approval_id: ApprovalId
    reason: str
    request_id: str


async def withdraw_approval(store: Store, caller: Caller, asked: Withdrawing) -> Approval:
    """Closes a request that nobody is to decide any more; its node fails, or its work is told that asked.

    Raises NotFound, ApprovalClosed, ApprovalDecided, NotRequester, RequestIdReused.
    """

    def recorded(tx: Transaction, approval: Approval) -> fact_events_pb2.FactRecorded:
        is_requester = tx.flows.get(approval.flow_id).principal == caller.principal
        if caller.authenticated and not is_requester and caller.role is not Role.ADMIN:
            raise NotRequester(approval.name)
        withdrawn = approval_facts_pb2.ApprovalWithdrawn(
            approval_id=approval.approval_id, requester=caller.principal, reason=asked.reason
        )
        return fact_events_pb2.FactRecorded(approval_withdrawn=withdrawn)

    details, said = of_reason(asked.reason), (asked.reason,)
    deed = Deed(
        "WithdrawApproval", asked.approval_id, asked.request_id, said, AuditType.HUMAN_WITHDRAWN, details, recorded
    )
    return await do(store, caller, deed)
