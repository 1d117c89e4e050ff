"""What people do with an open approval beside deciding it: hand it to somebody else, say something, withdraw it."""

from collections.abc import Callable
from dataclasses import dataclass

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.decisions import MAX_ASSIGNEES
from perdure.runlog.instances import parse_instance
from perdure.v1 import approval_facts_pb2, fact_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.approval import Approval, DeciderRule, check_open
from perdure_control_plane.domain.audit import Act, Details, of_content, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import (
    ApprovalVoted,
    DeciderNotAllowed,
    NotRequester,
    RemarksFull,
    field_invalid,
)
from perdure_control_plane.domain.ids import ApprovalId
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.readings.approval_contents import with_contents
from perdure_control_plane.usecases.readings.deciders import excluded_by
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class Delegating:
    """Whom somebody asks in their own place."""

    approval_id: ApprovalId
    to: str
    reason: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Withdrawing:
    """Why nobody is to decide it any more."""

    approval_id: ApprovalId
    reason: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Commenting:
    """What somebody says about it."""

    approval_id: ApprovalId
    text: str
    request_id: str


@dataclass(frozen=True, slots=True)
class _Deed:
    """One of these: what is checked with the run locked, and the fact and the audit event that come of it."""

    method: str
    approval_id: ApprovalId
    request_id: str
    said: tuple[str, ...]
    audited_as: AuditType
    details: Details
    recorded: Callable[[Transaction, Approval], fact_events_pb2.FactRecorded]
    """Raises where it may not be."""


async def delegate_approval(store: Store, limits: Limits, caller: Caller, asked: Delegating) -> Approval:
    """Asks somebody else in the caller's place. Whoever is asked by name is asked no more; who is asked by role is still.

    Whoever has voted, or may not decide, does not delegate.

    Raises FieldInvalid, NotFound, ApprovalClosed, ApprovalDecided, ApprovalVoted, DeciderNotAllowed, RemarksFull,
    RequestIdReused.
    """

    def recorded(tx: Transaction, approval: Approval) -> fact_events_pb2.FactRecorded:
        _check_delegable(tx, limits, caller, asked, approval)
        assignees = [one for one in approval.assignees if one != caller.principal] + [asked.to]
        delegated = approval_facts_pb2.ApprovalDelegated(
            approval_id=approval.approval_id,
            delegator=caller.principal,
            to=asked.to,
            assignees=assignees,
            reason=asked.reason,
        )
        return fact_events_pb2.FactRecorded(approval_delegated=delegated)

    details = {AuditDetail.ASSIGNEE: asked.to, **of_reason(asked.reason)}
    said = (asked.to, asked.reason)
    deed = _Deed(
        "DelegateApproval", asked.approval_id, asked.request_id, said, AuditType.HUMAN_DELEGATED, details, recorded
    )
    return await _do(store, caller, deed)


def _check_delegable(tx: Transaction, limits: Limits, caller: Caller, asked: Delegating, approval: Approval) -> None:
    """Raises FieldInvalid, DeciderNotAllowed, ApprovalVoted, RemarksFull."""
    if not caller.authenticated:
        raise DeciderNotAllowed(approval.name, DeciderRule.IDENTITY.lower(), "nobody knows who delegates it")
    if not approval.assignees:
        raise field_invalid("to", "is asked already, with everybody whose role decides")
    if not approval.asks(caller) and caller.role is not Role.ADMIN:
        why = "only whoever is asked, or an admin, asks somebody else"
        raise DeciderNotAllowed(approval.name, DeciderRule.ASSIGNEES.lower(), why)
    if (rule := excluded_by(tx, approval).get(caller.principal)) is not None:
        why = "whoever may not decide it does not choose who does"
        raise DeciderNotAllowed(approval.name, rule.lower(), why)
    if asked.to in approval.assignees:
        raise field_invalid("to", "is asked already")
    if any(vote.voter == caller.principal for vote in tx.approvals.votes(approval.approval_id)):
        raise ApprovalVoted(approval.name)
    if approval.remarks >= limits.max_remarks or len(approval.assignees) >= MAX_ASSIGNEES:
        raise RemarksFull(approval.name, limits.max_remarks)


async def withdraw_approval(store: Store, caller: Caller, asked: Withdrawing) -> Approval:
    """Closes a request that nobody is to decide any more; its node fails.

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
    deed = _Deed(
        "WithdrawApproval", asked.approval_id, asked.request_id, said, AuditType.HUMAN_WITHDRAWN, details, recorded
    )
    return await _do(store, caller, deed)


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
    deed = _Deed(
        "CommentApproval", asked.approval_id, asked.request_id, said, AuditType.HUMAN_COMMENTED, details, recorded
    )
    return await _do(store, caller, deed)


async def _do(store: Store, caller: Caller, deed: _Deed) -> Approval:
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
