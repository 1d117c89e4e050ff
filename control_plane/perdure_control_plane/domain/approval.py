"""Approvals: requests for a person's decision, and the token that binds a decision to what was shown."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from perdure.runlog.decisions import ROLE, decision_kind, has_content, needed
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import (
    ApprovalClosed,
    ApprovalDecided,
    ApprovalVoted,
    DeciderNotAllowed,
    DecisionNotAllowed,
    TokenMismatch,
    field_invalid,
)
from perdure_control_plane.domain.ids import (
    ApprovalId,
    FlowId,
    Principal,
    RunId,
    SessionId,
)


class ApprovalState(StrEnum):
    """Where an approval stands."""

    OPEN = "OPEN"
    DECIDED = "DECIDED"
    EXPIRED = "EXPIRED"
    CLOSED = "CLOSED"


class Decision(StrEnum):
    """What a person can say."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EDITED = "EDITED"
    SELECTED = "SELECTED"
    PROVIDED = "PROVIDED"

    @property
    def has_content(self) -> bool:
        """Whether it says something itself."""
        return has_content(self)


class FourEyes(StrEnum):
    """Who may not decide."""

    NOT_STARTER = "NOT_STARTER"
    NOT_AUTHOR = "NOT_AUTHOR"


class OnTimeout(StrEnum):
    """What becomes of a request whose time is over before anybody has decided."""

    FAIL = "FAIL"
    CONTINUE = "CONTINUE"
    ESCALATE = "ESCALATE"


class CloseReason(StrEnum):
    """Why an approval can be decided no more."""

    OPEN = ""
    DECIDED = "DECIDED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"
    STOPPED = "STOPPED"
    JUMPED_OVER = "JUMPED_OVER"
    MOVED = "MOVED"
    RUN_ENDED = "RUN_ENDED"
    VOIDED = "VOIDED"


class DeciderRule(StrEnum):
    """Why somebody may not decide."""

    NOT_STARTER = FourEyes.NOT_STARTER.value
    NOT_AUTHOR = FourEyes.NOT_AUTHOR.value
    ASSIGNEES = "ASSIGNEES"
    """Others are asked."""
    IDENTITY = "IDENTITY"
    """The server does not know who the caller is, and some people, or several, are asked."""


class ApprovalKind(StrEnum):
    """What a person is asked for."""

    APPROVE = "APPROVE"
    REVIEW = "REVIEW"
    INPUT = "INPUT"
    SELECT = "SELECT"


@dataclass(frozen=True, slots=True)
class Vote:
    """What one of several people has said."""

    voter: Principal
    decision: Decision
    selected_option: str
    reason: str
    voted_at: int

    def says_the_same(self, other: "Vote") -> bool:
        """Whether the other vote is for the same."""
        return (self.decision, self.selected_option) == (other.decision, other.selected_option)


@dataclass(frozen=True, slots=True)
class Approval:
    """One request. `subject` and `content` are JSON, empty where they were not asked for, as `votes` are."""

    approval_id: ApprovalId
    run_id: RunId
    flow_id: FlowId
    session_id: SessionId
    instance: str
    kind: ApprovalKind
    state: ApprovalState
    decision: Decision | None
    decider: Principal | None
    authenticated: bool
    reason: str
    selected_option: str
    content_digest: bytes
    """Empty where nothing was decided, or the decision has no content."""
    allowed: tuple[Decision, ...]
    options: tuple[str, ...]
    four_eyes: tuple[FourEyes, ...]
    first_assignees: tuple[str, ...]
    """Who was asked; the token has them."""
    assignees: tuple[str, ...]
    """Who may decide now; everyone whose role decides where it is empty."""
    quorum: int
    """People who must say the same."""
    on_timeout: OnTimeout
    escalations: int
    """Rungs of its ladder that were reached."""
    escalated_at: int
    due_at: int
    """When what `on_timeout` says follows next; 0 where nothing does."""
    reminders: int
    """Times that people were reminded."""
    automatic: bool
    """Whether nobody decided in time and the run went on."""
    close_reason: CloseReason
    remarks: int
    """Comments and delegations."""
    prompt: str
    subject_digest: bytes
    plan_digest: bytes
    nonce: str
    opened_sequence: int
    created_at: int
    deadline_at: int
    closed_at: int
    closed_sequence: int
    """Sequence of the fact that closed it; 0 where it is open, or its run needs it no longer."""
    subject: bytes = b""
    content: bytes = b""
    votes: tuple[Vote, ...] = ()
    history: tuple[RecordedEvent, ...] = ()
    """What has happened to it while it was open."""

    @property
    def name(self) -> str:
        """The approval's resource name."""
        return f"approvals/{self.approval_id}"

    def rule_against(self, caller: Caller, excluded: Mapping[Principal, FourEyes]) -> DeciderRule | None:
        """Why a caller may not decide it, or None; `excluded` are those whom four eyes keep from it.

        Four eyes hold where the server knows who callers are. Where some people are asked, or several, a token alone is
        never enough.
        """
        if not caller.authenticated:
            return DeciderRule.IDENTITY if self.assignees or self.quorum > 1 else None
        if self.assignees and not self.asks(caller):
            return DeciderRule.ASSIGNEES
        rule = excluded.get(caller.principal)
        return DeciderRule(rule.value) if rule is not None else None

    def asks(self, caller: Caller) -> bool:
        """Whether somebody is asked by name or by role."""
        return not set(self.assignees).isdisjoint(names_of(caller))


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """Secret keys by id; new tokens are made with the current one, and all of them are accepted."""

    current: str
    secrets: Mapping[str, bytes]

    def token(self, approval: Approval) -> str:
        """The token that a decision about this approval must present."""
        return f"{self.current}.{_mac(self.secrets[self.current], approval)}"

    def check(self, approval: Approval, token: str) -> None:
        """Raises TokenMismatch unless the token was made for exactly this request; takes the same time either way."""
        key_id, _, presented = token.partition(".")
        secret = self.secrets.get(key_id, bytes(32))
        if not hmac.compare_digest(_mac(secret, approval).encode(), presented.encode()) or key_id not in self.secrets:
            raise TokenMismatch(approval.name)


def names_of(caller: Caller) -> tuple[str, ...]:
    """What assignees may call somebody."""
    return (caller.principal, f"{ROLE}{caller.role.lower()}") if caller.role is not None else (caller.principal,)


def check_open(approval: Approval) -> None:
    """Raises ApprovalDecided, ApprovalClosed where nothing happens to it any more."""
    if approval.state is ApprovalState.DECIDED:
        raise ApprovalDecided(approval.name, f"{approval.decision} by {approval.decider}")
    if approval.state is not ApprovalState.OPEN:
        raise ApprovalClosed(approval.name, approval.state, approval.close_reason)


def check_decider(approval: Approval, caller: Caller, excluded: Mapping[Principal, FourEyes]) -> None:
    """Raises DeciderNotAllowed where the caller may not decide it."""
    if (rule := approval.rule_against(caller, excluded)) is not None:
        raise DeciderNotAllowed(approval.name, rule.lower(), _WHY[rule])


_WHY: Final = {
    DeciderRule.NOT_STARTER: "the caller started the flow",
    DeciderRule.NOT_AUTHOR: "the caller stored the playbook",
    DeciderRule.ASSIGNEES: "the caller is none of its assignees",
    DeciderRule.IDENTITY: "certain people, or several, are asked, and this server does not know who the caller is",
}


def check_vote(approval: Approval, vote: Vote) -> None:
    """Raises ApprovalVoted where its voter has voted before; `approval` has its votes."""
    if any(known.voter == vote.voter for known in approval.votes):
        raise ApprovalVoted(approval.name)


def is_enough(approval: Approval, vote: Vote) -> bool:
    """Whether a vote decides it, with those before."""
    alike = sum(vote.says_the_same(known) for known in approval.votes)
    return alike + 1 >= needed(decision_kind(vote.decision), approval.quorum)


def check_decidable(approval: Approval, decision: Decision, selected_option: str = "") -> None:
    """Raises ApprovalDecided, ApprovalClosed, DecisionNotAllowed or FieldInvalid where this decision cannot be recorded."""
    check_open(approval)
    if decision not in approval.allowed:
        raise DecisionNotAllowed(approval.name, ", ".join(approval.allowed))
    if decision is Decision.SELECTED and selected_option not in approval.options:
        raise field_invalid("selected_option", f"is none of the options; they are {', '.join(approval.options)}")


def _mac(secret: bytes, approval: Approval) -> str:
    # Every part is preceded by its length, so that no two requests give the same text.
    parts = [
        approval.approval_id,
        approval.run_id,
        approval.instance,
        approval.subject_digest.hex(),
        approval.plan_digest.hex(),
        *sorted(approval.allowed),
        "",
        *sorted(approval.first_assignees),
        "",
        approval.nonce,
    ]
    text = "".join(f"{len(part.encode())}:{part}" for part in parts)
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
