"""What an approval is about, and what people have said of it."""

import hashlib
from dataclasses import replace

from perdure.v1 import fact_events_pb2
from perdure_control_plane.domain.approval import Approval, CloseReason
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.usecases.ports import Transaction


def with_contents(tx: Transaction, approval: Approval) -> Approval:
    """The approval with its subject, as it was frozen, its votes and history, and the content of its decision. Raises
    DataCorrupt where one of these is not what its digest says."""
    votes = tx.approvals.votes(approval.approval_id) if approval.quorum > 1 else ()
    history = tuple(tx.approvals.history(approval.approval_id)) if _has_history(approval) else ()
    subject, content = _subject(tx, approval), _content(tx, approval)
    return replace(approval, subject=subject, content=content, votes=votes, history=history)


def wait_of(tx: Transaction, approval: Approval) -> fact_events_pb2.WaitOpened:
    """What was asked, as its log has it. Raises DataCorrupt."""
    recorded = tx.events.last_of_kind_before(approval.run_id, "wait_opened", approval.opened_sequence + 1)
    if recorded is None or recorded.sequence != approval.opened_sequence:
        raise DataCorrupt(approval.name, "its log does not have the event that asked for it")
    return recorded.event.wait_opened


def _has_history(approval: Approval) -> bool:
    happened = approval.remarks or approval.reminders or approval.escalations
    return bool(happened) or approval.close_reason is CloseReason.VOIDED


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
