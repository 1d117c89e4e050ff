"""Shows an approval with what it is about."""

from dataclasses import dataclass

from perdure_control_plane.domain.approval import Approval, ApprovalState, TokenKeys
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.ids import ApprovalId
from perdure_control_plane.domain.roles import Scope
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.readings.approval_contents import with_contents
from perdure_control_plane.usecases.readings.deciders import excluded_by


@dataclass(frozen=True, slots=True)
class ShownApproval:
    """An approval with its subject, and the token that a decision must present; empty where it is not open, or whoever asks
    may not decide it."""

    approval: Approval
    token: str


async def get_approval(store: Store, keys: TokenKeys, caller: Caller, approval_id: ApprovalId) -> ShownApproval:
    """The approval as a decider must see it, with the token for those who may decide it. Raises NotFound, DataCorrupt."""

    def body(tx: Transaction) -> ShownApproval:
        approval = tx.approvals.get(approval_id)
        decides = approval.state is ApprovalState.OPEN and _may_decide(tx, approval, caller)
        return ShownApproval(with_contents(tx, approval), keys.token(approval) if decides else "")

    return await store.read(body)


def _may_decide(tx: Transaction, approval: Approval, caller: Caller) -> bool:
    if Scope.APPROVALS_DECIDE not in caller.scopes:
        return False
    return approval.rule_against(caller, excluded_by(tx, approval)) is None
