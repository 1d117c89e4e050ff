"""What is to be remembered of an act: who did what to which resource."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from perdure.audit.chain import SignedHead
from perdure.audit.events import AuditDetail, AuditOutcome, AuditType
from perdure_control_plane.domain.api_key import ApiKey
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.ids import SYSTEM

Details = Mapping[AuditDetail, str]


@dataclass(frozen=True, slots=True)
class Act:
    """One act. `reason` is the typed reason of a denial; what anybody wrote or gave is in none of the fields."""

    type: AuditType
    caller: Caller
    resource: str
    request_id: str = ""
    details: Details = field(default_factory=dict)
    outcome: AuditOutcome = AuditOutcome.DONE
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ChainHead:
    """How far the chain of audit events is. What was up to `pruned_position` was deleted."""

    position: int
    hash: bytes
    unsealed_events: int
    pruned_position: int
    signed: SignedHead | None


def platform(doing: str) -> Caller:
    """The control plane itself, where it acts in nobody's name; `doing` stands for the method."""
    return Caller(SYSTEM, authenticated=True, method=doing)


SWEEPING = platform("sweep")
TELLING = platform("messages")
SCHEDULING = platform("schedules")
RETAINING = platform("retention")
OPENING = platform("opening")


def of_reason(reason: str) -> dict[AuditDetail, str]:
    """That somebody wrote a reason; the reason itself is with what they did."""
    return {AuditDetail.HAS_REASON: _word(reason)}


def of_content(content: bytes) -> dict[AuditDetail, str]:
    """That something was given, and the digest of it."""
    told = {AuditDetail.HAS_CONTENT: _word(content)}
    return told | {AuditDetail.CONTENT_DIGEST: hashlib.sha256(content).hexdigest()} if content else told


def of_key(key: ApiKey) -> dict[AuditDetail, str]:
    """Which key, and until when it is good; its text is nowhere."""
    until = str(key.expires_at) if key.expires_at else "never"
    return {AuditDetail.ROLE: key.role.value, AuditDetail.KEY_ID: key.key_id, AuditDetail.EXPIRES: until}


def _word(given: str | bytes) -> str:
    return "true" if given else "false"
