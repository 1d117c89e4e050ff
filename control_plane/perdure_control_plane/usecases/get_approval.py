"""Shows an approval with what it is about."""

import hashlib
from dataclasses import dataclass, replace

from perdure_control_plane.domain.approval import Approval, ApprovalState, FourEyes, TokenKeys
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.domain.ids import ApprovalId, Principal
from perdure_control_plane.domain.roles import Scope
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Store, Transaction


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
    return rule_against(tx, approval, tx.runs.get(approval.run_id), caller) is None


def rule_against(tx: Transaction, approval: Approval, run: Run, caller: Caller) -> FourEyes | None:
    """The rule that keeps a caller from deciding; None where none does, or nobody knows who the caller is."""
    if not caller.authenticated:
        return None
    for rule in approval.four_eyes:
        if _excluded(tx, run, rule) == caller.principal:
            return rule
    return None


def _excluded(tx: Transaction, run: Run, rule: FourEyes) -> Principal:
    if rule is FourEyes.NOT_STARTER:
        return tx.flows.get(run.identity.flow_id).principal
    return tx.playbooks.get_version(run.identity.playbook_id, run.identity.playbook_version).author


def with_contents(tx: Transaction, approval: Approval) -> Approval:
    """The approval with its subject, as it was frozen, and the content of its decision. Raises DataCorrupt where one of them
    is not what its digest says."""
    return replace(approval, subject=_subject(tx, approval), content=_content(tx, approval))


def _subject(tx: Transaction, approval: Approval) -> bytes:
    recorded = tx.events.last_of_kind_before(approval.run_id, "wait_subject", approval.opened_sequence)
    subject = b"" if recorded is None else recorded.event.wait_subject.canonical_json
    if hashlib.sha256(subject).digest() != approval.subject_digest:
        raise DataCorrupt(approval.name, "its subject is not the one that was frozen")
    return subject


def _content(tx: Transaction, approval: Approval) -> bytes:
    if not approval.content_digest:
        return b""
    recorded = tx.events.last_of_kind_before(approval.run_id, "fact_content", approval.closed_sequence)
    content = b"" if recorded is None else recorded.event.fact_content.json
    if hashlib.sha256(content).digest() != approval.content_digest:
        raise DataCorrupt(approval.name, "the content of its decision is not the one that was given")
    return content
