"""What people decide, as the log holds it and as expressions read it."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure.v1 import approval_facts_pb2, decisions_pb2

WITH_CONTENT: Final = frozenset((decisions_pb2.DECISION_KIND_EDITED, decisions_pb2.DECISION_KIND_PROVIDED))
"""Decisions that say something themselves."""

FIELDS: Final = (
    "decision", "decider", "decided_at", "reason", "subject", "selected_option", "votes", "automatic", "artifacts",
)  # fmt: skip
"""What a hold point has as output, beside the content of its decision: `selected_option` where one was selected, `votes`
where several people were asked, `automatic` where nobody decided in time and the run went on, and `artifacts` where there
are any."""

MAX_ASSIGNEES: Final = 100
"""Most people and roles that a hold point asks, and most people who must say the same."""

MAX_RUNGS: Final = 10
"""Most rungs of a ladder, and most reminders."""

ASSIGNEE_LENGTH: Final = 1024
"""Most characters of one."""

ROLE: Final = "role:"
"""What an assignee begins with that is a role."""

PRINCIPALS: Final = ("keys/", "users/", "certificates/")
"""What the others begin with: names of principals whom a server can know."""


def decision_word(kind: decisions_pb2.DecisionKind.ValueType) -> str:
    """A decision as documents and expressions write it, such as `approved`."""
    return decisions_pb2.DecisionKind.Name(kind).removeprefix("DECISION_KIND_").lower()


def decision_kind(word: str) -> decisions_pb2.DecisionKind.ValueType:
    """The decision of such a word, in either case. Raises ValueError."""
    return decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{word.upper()}")


def has_content(word: str) -> bool:
    """Whether the decision of such a word says something itself. Raises ValueError."""
    return decision_kind(word) in WITH_CONTENT


def told(decision: approval_facts_pb2.Decision) -> JsonObject:
    """Who decided what, when and why, without the content: what `last_approval` is."""
    said: JsonObject = {
        "decision": decision_word(decision.kind),
        "decider": decision.decider,
        "decided_at": decision.decide_time.ToJsonString(),
        "reason": decision.reason,
    }
    if decision.selected_option:
        said["selected_option"] = decision.selected_option
    if decision.automatic:
        said["automatic"] = True
    if decision.votes:
        said["votes"] = [_told_vote(vote) for vote in decision.votes]
    return said


def _told_vote(vote: approval_facts_pb2.Vote) -> JsonObject:
    said = {
        "voter": vote.voter,
        "decision": decision_word(vote.kind),
        "voted_at": vote.vote_time.ToJsonString(),
        "reason": vote.reason,
    }
    return said | {"selected_option": vote.selected_option} if vote.selected_option else said


def output_of(decision: approval_facts_pb2.Decision, subject: bytes, content: bytes, content_key: str) -> JsonObject:
    """The output of the hold point that was decided, with the subject as it was frozen and the content under its key."""
    shown = json.loads(subject) if subject else {}
    output = told(decision) | {"subject": shown.get("subject", {})}
    if "artifacts" in shown:
        output["artifacts"] = shown["artifacts"]
    if decision.kind in WITH_CONTENT:
        output[content_key] = json.loads(content)
    return output


def decision_faults(decision: approval_facts_pb2.Decision, asked: approval_facts_pb2.ApprovalWait) -> Iterator[str]:
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
    if decision.automatic:
        yield from _automatic_faults(decision, asked)
    else:
        yield from _vote_faults(decision, asked.quorum)


def _automatic_faults(decision: approval_facts_pb2.Decision, asked: approval_facts_pb2.ApprovalWait) -> Iterator[str]:
    if asked.on_timeout != decisions_pb2.ON_TIMEOUT_CONTINUE or decision.votes or decision.decider != "system":
        yield "a decision that nobody took, where somebody was to"
    if (decision.kind, decision.selected_option) != automatic_decision(asked):
        yield "a decision that nobody took, and another than was asked for"


def automatic_decision(asked: approval_facts_pb2.ApprovalWait) -> tuple[decisions_pb2.DecisionKind.ValueType, str]:
    """With what a run goes on when nobody has decided: the decision, and the option that it selects."""
    if decisions_pb2.DECISION_KIND_APPROVED in asked.allowed:
        return decisions_pb2.DECISION_KIND_APPROVED, ""
    return decisions_pb2.DECISION_KIND_SELECTED, asked.default_option


def _vote_faults(decision: approval_facts_pb2.Decision, quorum: int) -> Iterator[str]:
    if bool(decision.votes) != (quorum > 1):
        yield "a decision of several people who were not asked, or of one where several were"
    elif decision.votes:
        if len({vote.voter for vote in decision.votes}) < len(decision.votes):
            yield "a decision for which somebody voted twice"
        last = decision.votes[-1]
        if (last.voter, last.kind, last.selected_option) != (
            decision.decider,
            decision.kind,
            decision.selected_option,
        ):
            yield "a decision whose last vote is not the decider's, or says something else"
        if not decision.authenticated:
            yield "a decision of several people whom nobody knew"
        if count_alike(decision.votes) < needed(decision.kind, quorum):
            yield "a decision for which too few people have voted"


def also_asked(asked: Sequence[str], to: Sequence[str]) -> list[str]:
    """Who may decide when others are asked as well: everybody still, where everybody could."""
    return list(dict.fromkeys((*asked, *to))) if asked else []


def asked_instead(asked: Sequence[str], delegator: str, to: str) -> list[str]:
    """Who may decide when somebody asks another one: whoever is asked by role is still."""
    return [*(one for one in asked if one != delegator), to]


def needed(kind: decisions_pb2.DecisionKind.ValueType, quorum: int) -> int:
    """People who must say this: one who rejects is enough."""
    return 1 if kind == decisions_pb2.DECISION_KIND_REJECTED else quorum


def count_alike(votes: Sequence[approval_facts_pb2.Vote]) -> int:
    """Votes that say what the last of them says."""
    last = votes[-1]
    return sum((vote.kind, vote.selected_option) == (last.kind, last.selected_option) for vote in votes)
