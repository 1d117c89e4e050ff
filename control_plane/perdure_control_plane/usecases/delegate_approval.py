"""Asks somebody else in the place of somebody who is asked."""

from dataclasses import dataclass

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.decisions import MAX_ASSIGNEES, asked_instead
from perdure.v1 import approval_facts_pb2, fact_events_pb2
from perdure_control_plane.domain.api_key import KEYS, KeyState
from perdure_control_plane.domain.approval import Approval, DeciderRule
from perdure_control_plane.domain.audit import of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import (
    ApprovalVoted,
    DeciderNotAllowed,
    RemarksFull,
    field_invalid,
)
from perdure_control_plane.domain.ids import ApprovalId, Principal
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.domain.roles import DECIDING_ROLES, SCOPES, Role, Scope
from perdure_control_plane.usecases.approval_deeds import Deed, do
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.readings.deciders import excluded_by


@dataclass(frozen=True, slots=True)
class Delegating:
    """Whom somebody asks in their own place."""

    approval_id: ApprovalId
    to: str
    reason: str
    request_id: str


async def delegate_approval(store: Store, limits: Limits, caller: Caller, asked: Delegating) -> Approval:
    """Asks somebody else in the caller's place. Whoever is asked by name is asked no more; who is asked by role is still.

    Whoever has voted, or may not decide, does not delegate.

    Raises FieldInvalid, NotFound, ApprovalClosed, ApprovalDecided, ApprovalVoted, DeciderNotAllowed, RemarksFull,
    RequestIdReused.
    """

    def recorded(tx: Transaction, approval: Approval) -> fact_events_pb2.FactRecorded:
        _check_delegable(tx, limits, caller, asked, approval)
        delegated = approval_facts_pb2.ApprovalDelegated(
            approval_id=approval.approval_id,
            delegator=caller.principal,
            to=asked.to,
            assignees=asked_instead(approval.assignees, caller.principal, asked.to),
            reason=asked.reason,
        )
        return fact_events_pb2.FactRecorded(approval_delegated=delegated)

    details = {AuditDetail.ASSIGNEE: asked.to, **of_reason(asked.reason)}
    said = (asked.to, asked.reason)
    deed = Deed(
        "DelegateApproval", asked.approval_id, asked.request_id, said, AuditType.HUMAN_DELEGATED, details, recorded
    )
    return await do(store, caller, deed)


def _check_delegable(tx: Transaction, limits: Limits, caller: Caller, asked: Delegating, approval: Approval) -> None:
    """Raises FieldInvalid, DeciderNotAllowed, ApprovalVoted, RemarksFull."""
    if not caller.authenticated:
        raise DeciderNotAllowed(approval.name, DeciderRule.IDENTITY.lower(), "nobody knows who delegates it")
    if not approval.assignees:
        raise field_invalid("to", "is asked already, with everybody whose role decides")
    if not approval.asks(caller) and caller.role is not Role.ADMIN:
        why = "only whoever is asked, or an admin, asks somebody else"
        raise DeciderNotAllowed(approval.name, DeciderRule.ASSIGNEES.lower(), why)
    excluded = excluded_by(tx, approval)
    if (rule := excluded.get(caller.principal)) is not None:
        why = "whoever may not decide it does not choose who does"
        raise DeciderNotAllowed(approval.name, rule.lower(), why)
    if asked.to in approval.assignees:
        raise field_invalid("to", "is asked already")
    if (rule := excluded.get(Principal(asked.to))) is not None:
        raise field_invalid("to", f"{asked.to} may not decide it, by its rule {rule.lower()}")
    _check_decides(tx, asked.to)
    voters = {vote.voter for vote in tx.approvals.votes(approval.approval_id)}
    if caller.principal in voters:
        raise ApprovalVoted(approval.name)
    if asked.to in voters:
        raise field_invalid("to", f"{asked.to} has voted already")
    if approval.remarks >= limits.max_remarks or len(approval.assignees) >= MAX_ASSIGNEES:
        raise RemarksFull(approval.name, limits.max_remarks)


def _check_decides(tx: Transaction, to: str) -> None:
    """Raises FieldInvalid where a key decides nothing. Of others who are asked by name nothing is known here."""
    if to.startswith(KEYS):
        key = tx.keys.find_live(to.removeprefix(KEYS))
        is_good = key is not None and key.state(tx.now) is KeyState.LIVE
        if key is None or not is_good or Scope.APPROVALS_DECIDE not in SCOPES[key.role]:
            raise field_invalid(
                "to", f"no good key of a role that decides ({', '.join(DECIDING_ROLES)}) is called {to}"
            )
