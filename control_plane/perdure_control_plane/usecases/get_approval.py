"""Shows an approval with what it is about."""

import hashlib
from dataclasses import dataclass, replace

from perdure_control_plane.domain.approval import Approval, ApprovalState, TokenKeys
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.domain.ids import ApprovalId
from perdure_control_plane.usecases.ports import Store, Transaction


@dataclass(frozen=True, slots=True)
class ShownApproval:
    """An approval with its subject, and the token that a decision must present while it is open."""

    approval: Approval
    token: str


async def get_approval(store: Store, keys: TokenKeys, approval_id: ApprovalId) -> ShownApproval:
    """The approval as a decider must see it. Raises NotFound, DataCorrupt."""

    def body(tx: Transaction) -> Approval:
        approval = tx.approvals.get(approval_id)
        return with_contents(tx, approval)

    approval = await store.read(body)
    return ShownApproval(approval, keys.token(approval) if approval.state is ApprovalState.OPEN else "")


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
