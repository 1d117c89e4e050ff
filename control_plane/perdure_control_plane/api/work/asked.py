"""What executors ask people, checked as it comes: nobody could mend it once it is stored."""

import itertools
import json
from collections.abc import Sequence
from typing import Any, Final

from perdure.runlog.decisions import ASSIGNEE_LENGTH, MAX_ASSIGNEES, MAX_RUNGS, WITH_CONTENT
from perdure.runlog.effects import approval_id
from perdure.runlog.instances import instance
from perdure.runlog.json_objects import TooDeep, check_levels
from perdure.v1 import (
    approval_facts_pb2,
    decisions_pb2,
    instances_pb2,
    node_events_pb2,
)
from perdure_control_plane.domain.limits import SECOND

_KINDS: Final = frozenset(decisions_pb2.ApprovalKind.values()) - {decisions_pb2.APPROVAL_KIND_UNSPECIFIED}
_LONGEST: Final = 366 * 24 * 3600 * SECOND
_ON_TIMEOUT: Final = frozenset(decisions_pb2.OnTimeout.values()) - {decisions_pb2.ON_TIMEOUT_UNSPECIFIED}
_FOUR_EYES: Final = frozenset(decisions_pb2.FourEyes.values()) - {decisions_pb2.FOUR_EYES_UNSPECIFIED}
_DECISIONS: Final = frozenset(decisions_pb2.DecisionKind.values()) - {decisions_pb2.DECISION_KIND_UNSPECIFIED}


def question_fault(settled: node_events_pb2.NodeSettled) -> str:
    """What is wrong with a question: the wait that follows is checked as it is, and nobody could mend it then."""
    if not settled.HasField("question"):
        return ""
    return (
        approval_fault(settled.question.approval)
        or deadline_fault(settled.question)
        or _schema(settled.question.approval.content_schema)
    )


def _schema(content: bytes) -> str:
    """What is wrong with the schema of a question: who answers is told by it whether that is an answer."""
    if not content:
        return ""
    try:
        value = json.loads(content)
        check_levels(value)
    except (ValueError, RecursionError, TooDeep):
        return "its schema is no JSON, or nested too deep"
    return "" if isinstance(value, dict) else "its schema is no object"


def deadline_fault(opened: Any) -> str:
    """What is wrong with the time that people have, of a wait or a question; empty where nothing is."""
    timeout, reminders = opened.timeout.ToMicroseconds(), [one.ToMicroseconds() for one in opened.approval.reminders]
    if 0 < timeout <= _LONGEST and max(reminders, default=0) < timeout:
        return ""
    return "approval has no deadline, or a reminder behind it"


def approval_fault(asked: approval_facts_pb2.ApprovalWait) -> str:
    """What is wrong with what people are asked; empty where nothing is."""
    if not asked.approval_id or len(asked.subject_digest) != 32 or not asked.nonce:
        return "approval lacks an id, a subject digest or a nonce"
    if asked.kind not in _KINDS or not asked.allowed or not _DECISIONS.issuperset(asked.allowed):
        return "approval lacks what is asked for, or what is allowed"
    if not _FOUR_EYES.issuperset(asked.four_eyes):
        return "approval names a rule of four eyes that is none"
    if (
        not 1 <= asked.quorum <= MAX_ASSIGNEES
        or len(asked.assignees) > MAX_ASSIGNEES
        or not _are_names(asked.assignees)
    ):
        return "approval asks nobody, or too many"
    if asked.quorum > 1 and WITH_CONTENT.intersection(asked.allowed):
        return "approval asks several people for what they write"
    return _time_of_approval(asked)


def _are_names(assignees: Sequence[str]) -> bool:
    return all(0 < len(one) <= ASSIGNEE_LENGTH for one in assignees)


def _time_of_approval(asked: approval_facts_pb2.ApprovalWait) -> str:
    if asked.on_timeout not in _ON_TIMEOUT or (asked.on_timeout == decisions_pb2.ON_TIMEOUT_ESCALATE) != bool(
        asked.escalate_to
    ):
        return "approval does not say what becomes of it, or whom it is escalated to"
    for rung in asked.escalate_to:
        if not 1 <= len(rung.to) <= MAX_ASSIGNEES or not _are_names(rung.to):
            return "approval is escalated to nobody, or to too many"
        if rung.HasField("timeout") and not 0 < rung.timeout.ToMicroseconds() <= _LONGEST:
            return "approval is escalated for no time"
    if not all(rung.HasField("timeout") for rung in asked.escalate_to[:-1]):
        return "approval has a rung without end before another"
    reminders = [time.ToMicroseconds() for time in asked.reminders]
    if max(len(asked.escalate_to), len(reminders)) > MAX_RUNGS or any(
        later <= earlier for earlier, later in itertools.pairwise([0, *reminders])
    ):
        return "approval has too many rungs or reminders, or they are in no order"
    goes_on = {decisions_pb2.DECISION_KIND_APPROVED}.intersection(
        asked.allowed
    ) or asked.default_option in asked.options
    if asked.on_timeout == decisions_pb2.ON_TIMEOUT_CONTINUE and not goes_on:
        return "approval goes on by itself, and does not say with what"
    return ""


def strange_approval(where: instances_pb2.Instance, asking: Any, run_id: str) -> str:
    """An id is its attempt's own, so that nobody takes the one that another run is going to ask under."""
    if not asking.HasField("approval"):
        return ""
    own = approval_id(run_id, instance(where))
    return "" if asking.approval.approval_id == own else f"approval has an id that is not its attempt's; that is {own}"
