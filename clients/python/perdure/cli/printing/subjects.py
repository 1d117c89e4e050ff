"""What a decision is about, for the eyes of whoever decides: every frozen value, and nothing twice."""

import json
from typing import Any, Final

from perdure.cli.printing.words import bytes_text, one_line, printable
from perdure.v1.approvals_pb2 import Approval
from perdure.v1.decisions_pb2 import ApprovalKind, DecisionKind, FourEyes, OnTimeout

_INDENT: Final = "  "


def subject_lines(approval: Approval) -> list[str]:
    """The frozen subject as lines of `key: value`, without what the approval's own fields say in the same words."""
    try:
        frozen = json.loads(approval.subject)
        if isinstance(frozen, dict):
            return _told(frozen, approval)
        return _as_it_is(approval)
    except (ValueError, RecursionError):
        return _as_it_is(approval)  # somebody decides about it, whatever it looks like


def _as_it_is(approval: Approval) -> list[str]:
    return bytes_text("subject", approval.subject).split("\n")


def _told(frozen: dict[str, Any], approval: Approval) -> list[str]:
    said = {
        "allowed": [DecisionKind.Name(kind).removeprefix("DECISION_KIND_").lower() for kind in approval.allowed],
        "assignees": list(approval.assignees),
        "four_eyes": [FourEyes.Name(rule).removeprefix("FOUR_EYES_").lower() for rule in approval.four_eyes],
        "instance": approval.instance,
        "kind": ApprovalKind.Name(approval.kind).removeprefix("APPROVAL_KIND_").lower(),
        "on_timeout": OnTimeout.Name(approval.on_timeout).removeprefix("ON_TIMEOUT_").lower(),
        "prompt": approval.prompt,
        "quorum": approval.quorum,
        "run": approval.run,
    }
    values = frozen.get("subject")
    shown = dict(values) if isinstance(values, dict) else {"subject": values}
    rest = {key: value for key, value in frozen.items() if key != "subject" and said.get(key) != value and value != []}
    return [*_outline(shown), *_outline({"effects that follow": rest.pop("effects", [])}), *_outline(rest)]


def _outline(value: dict[str, Any]) -> list[str]:
    return [line for key, inner in value.items() for line in _entry(f"{one_line(key)}:", inner)]


def _entry(head: str, value: Any) -> list[str]:
    match value:
        case dict() if value:
            return [head, *(f"{_INDENT}{line}" for line in _outline(value))]
        case list() if value:
            return [head, *(f"{_INDENT}{line}" for item in value for line in _entry("-", item))]
        case str() if "\n" in value:
            return [head, *(f"{_INDENT}{line}".rstrip() for line in printable(value).rstrip("\n").split("\n"))]
        case str():
            return [f"{head} {printable(value)}".rstrip()]
        case _:
            return [f"{head} {json.dumps(value)}"]
