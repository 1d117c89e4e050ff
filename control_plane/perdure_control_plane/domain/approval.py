"""Approvals: requests for a person's decision, and the token that binds a decision to what was shown."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from perdure_control_plane.domain.errors import (
    ApprovalClosed,
    ApprovalDecided,
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
        return self in (Decision.EDITED, Decision.PROVIDED)


class FourEyes(StrEnum):
    """Who may not decide."""

    NOT_STARTER = "NOT_STARTER"
    NOT_AUTHOR = "NOT_AUTHOR"


class ApprovalKind(StrEnum):
    """What a person is asked for."""

    APPROVE = "APPROVE"
    REVIEW = "REVIEW"
    INPUT = "INPUT"
    SELECT = "SELECT"


@dataclass(frozen=True, slots=True)
class Approval:
    """One request. `subject` and `content` are JSON, empty where they were not asked for."""

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
    audience: tuple[str, ...]
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

    @property
    def name(self) -> str:
        """The approval's resource name."""
        return f"approvals/{self.approval_id}"


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


def check_decidable(approval: Approval, decision: Decision, selected_option: str = "") -> None:
    """Raises ApprovalDecided, ApprovalClosed, DecisionNotAllowed or FieldInvalid where this decision cannot be recorded."""
    if approval.state is ApprovalState.DECIDED:
        raise ApprovalDecided(approval.name, f"{approval.decision} by {approval.decider}")
    if approval.state is not ApprovalState.OPEN:
        raise ApprovalClosed(approval.name, approval.state)
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
        *sorted(approval.audience),
        "",
        approval.nonce,
    ]
    text = "".join(f"{len(part.encode())}:{part}" for part in parts)
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
