"""Says something about an open approval, and decides nothing."""

from dataclasses import dataclass

from perdure.audit.events import AuditType
from perdure.v1 import approval_facts_pb2, fact_events_pb2
from perdure_control_plane.domain.approval import Approval
from perdure_control_plane.domain.audit import of_content
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import RemarksFull
from perdure_control_plane.domain.ids import ApprovalId
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.approval_deeds import Deed, do
from perdure_control_plane.usecases.ports import Store, Transaction


@dataclass(frozen=True, slots=True)
class Commenting:
    """What somebody says about it."""

    approval_id: ApprovalId
    text: str
    request_id: str


async def comment_approval(store: Store, limits: Limits, caller: Caller, asked: Commenting) -> Approval:
    """Says something about a request, and decides nothing.

    Raises NotFound, ApprovalClosed, ApprovalDecided, RemarksFull, RequestIdReused.
    """

    def recorded(tx: Transaction, approval: Approval) -> fact_events_pb2.FactRecorded:
        if approval.remarks >= limits.max_remarks:
            raise RemarksFull(approval.name, limits.max_remarks)
        commented = approval_facts_pb2.ApprovalCommented(
            approval_id=approval.approval_id, author=caller.principal, text=asked.text
        )
        return fact_events_pb2.FactRecorded(approval_commented=commented)

    details, said = of_content(asked.text.encode()), (asked.text,)
    deed = Deed(
        "CommentApproval", asked.approval_id, asked.request_id, said, AuditType.HUMAN_COMMENTED, details, recorded
    )
    return await do(store, caller, deed)
