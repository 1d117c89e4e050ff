"""What people decide, as the log holds it and as expressions read it."""

import json
from collections.abc import Iterator
from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure.v1 import decisions_pb2, fact_events_pb2

WITH_CONTENT: Final = frozenset((decisions_pb2.DECISION_KIND_EDITED, decisions_pb2.DECISION_KIND_PROVIDED))
"""Decisions that say something themselves."""

FIELDS: Final = ("decision", "decider", "decided_at", "reason", "subject", "selected_option")
"""What a hold point has as output, beside the content of its decision; `selected_option` where one was selected."""


def decision_word(kind: decisions_pb2.DecisionKind.ValueType) -> str:
    """A decision as documents and expressions write it, such as `approved`."""
    return decisions_pb2.DecisionKind.Name(kind).removeprefix("DECISION_KIND_").lower()


def told(decision: fact_events_pb2.Decision) -> JsonObject:
    """Who decided what, when and why, without the content: what `last_approval` is."""
    said = {
        "decision": decision_word(decision.kind),
        "decider": decision.decider,
        "decided_at": decision.decide_time.ToJsonString(),
        "reason": decision.reason,
    }
    if decision.selected_option:
        said["selected_option"] = decision.selected_option
    return said


def output_of(decision: fact_events_pb2.Decision, subject: bytes, content: bytes, content_key: str) -> JsonObject:
    """The output of the hold point that was decided, with the subject as it was frozen and the content under its key."""
    shown = json.loads(subject) if subject else {}
    output = told(decision) | {"subject": shown.get("subject", {})}
    if decision.kind in WITH_CONTENT:
        output[content_key] = json.loads(content)
    return output


def decision_faults(decision: fact_events_pb2.Decision, asked: fact_events_pb2.ApprovalWait) -> Iterator[str]:
    """Whether a decision is about what was asked, and one that was allowed."""
    if (decision.approval_id, decision.subject_digest) != (asked.approval_id, asked.subject_digest):
        yield "a decision about something else than was asked"
    if decision.kind not in asked.allowed:
        yield "a decision that was not allowed"
    if bool(decision.content_digest) != (decision.kind in WITH_CONTENT):
        yield "a decision without the content that it needs, or with one that it has no use for"
    selects = decision.kind == decisions_pb2.DECISION_KIND_SELECTED
    if (decision.selected_option in asked.options) != selects or (decision.selected_option and not selects):
        yield "a decision for an option that was not given, or for none"
