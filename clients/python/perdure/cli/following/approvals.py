"""Follows approvals: a line for each that is open, and for each change, with what is needed to decide or to go on."""

from datetime import UTC, datetime

from perdure.cli.following.follow import tell_reconnections
from perdure.cli.names import bare
from perdure.cli.printing.formats import Format, print_item
from perdure.cli.printing.words import age, at, enum_word, one_line
from perdure.client import Client
from perdure.v1.approvals_pb2 import Approval, ApprovalChange, WatchApprovalsRequest, WatchApprovalsResponse
from perdure.v1.decisions_pb2 import DecisionKind

PROMPT_SIGNS = 80


async def follow_approvals(client: Client, request: WatchApprovalsRequest, format: Format) -> None:
    """Prints what happens to approvals, one line or one document each, until it is interrupted. Raises CallFailed."""
    tell_reconnections()
    async for item in client.watch_approvals(request):
        if format is not Format.TABLE or not item.HasField("snapshot_end_time"):
            print_item(item, format, line)


def line(item: WatchApprovalsResponse) -> str:
    """What people read of one piece."""
    if item.HasField("open"):
        return _told(item.open, f"{at(item.open.create_time):%H:%M:%SZ}", "open")
    change = item.change
    word = enum_word(ApprovalChange.Kind.DESCRIPTOR, change.kind)
    if change.kind == ApprovalChange.KIND_DECIDED:
        word = f"{enum_word(DecisionKind.DESCRIPTOR, change.approval.decision)} by {change.approval.decider}"
    return _told(change.approval, f"{at(change.change_time):%H:%M:%SZ}", word)


def _told(approval: Approval, when: str, word: str) -> str:
    where = f"{bare(approval.name)} {approval.instance} of {bare(approval.flow)}"
    if approval.state == Approval.STATE_OPEN:
        expires = age(approval.due_time, datetime.now(UTC)) if approval.HasField("due_time") else ""
        word = f"{word}, expires {expires}" if expires.startswith("in ") else word
    return one_line(f"{when} {where} {word}: {one_line(approval.prompt, PROMPT_SIGNS)}")
