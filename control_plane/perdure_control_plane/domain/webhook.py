"""Webhooks: what is sent to whom when something happens to an approval, and how often it is tried.

An event says what happened to which approval, and by whom; never what it asks, what it is about, or what was said.
"""

import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from perdure_control_plane.domain.approval import Approval, ApprovalState
from perdure_control_plane.domain.approval_change import LEAVES, ApprovalChange, ApprovalChangeKind
from perdure_control_plane.domain.ids import PlaybookId
from perdure_control_plane.domain.limits import SECOND

TYPE_PREFIX: Final = "dev.perdure.approval."

WORDS: Final[dict[ApprovalChangeKind, str]] = {
    ApprovalChangeKind.OPENED: "requested",
    ApprovalChangeKind.DECIDED: "decided",
    ApprovalChangeKind.EXPIRED: "expired",
    ApprovalChangeKind.CLOSED: "closed",
    ApprovalChangeKind.ESCALATED: "escalated",
    ApprovalChangeKind.REMINDED: "reminded",
    ApprovalChangeKind.DELEGATED: "delegated",
    ApprovalChangeKind.COMMENTED: "commented",
    ApprovalChangeKind.VOIDED: "voided",
}
"""What each kind of change is called in the type of an event."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Somebody who is told. `endpoint` is the address without path and query, which may hold a secret."""

    name: str
    endpoint: str
    kinds: frozenset[ApprovalChangeKind]


@dataclass(frozen=True, slots=True)
class ConfiguredWebhook:
    """One that a server is configured with. `key_ids` says what its secrets are called now."""

    webhook: Webhook
    key_ids: Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook. `body` is sent as it is, however often."""

    webhook: str
    event_id: str
    type: str
    subject: str
    occurred_at: int
    body: bytes
    attempts: int = 0
    next_at: int = 0
    """When it is tried next; 0 where it is not tried any more: it is a dead letter."""
    attempted_at: int = 0
    failure: str = ""
    """Why the last attempt failed."""

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"webhooks/{self.webhook}/deliveries/{self.event_id}"

    @property
    def is_dead(self) -> bool:
        """Whether it is tried no more, unless a person says so."""
        return not self.next_at


@dataclass(frozen=True, slots=True)
class WebhookStanding:
    """How things stand with a webhook. Times are microseconds since 1970, and 0 means never."""

    name: str
    pending: int
    dead: int
    delivered: int
    delivered_at: int
    failed_at: int
    failure: str


def standing_of_new(name: str) -> WebhookStanding:
    """How things stand with one that nothing was taken in for yet."""
    return WebhookStanding(name, 0, 0, 0, 0, 0, "")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a delivery is tried. Pauses double from the first on, in microseconds, up to the longest."""

    attempts: int
    first_pause: int
    longest_pause: int = 3600 * SECOND

    def pause(self, attempts: int, draw: float, asked: int = 0) -> int | None:
        """The pause after so many attempts, from half of it to all as is drawn from 0 to 1; None after the last.

        It is not shorter than the receiver has `asked` for, up to the longest.
        """
        if attempts >= self.attempts:
            return None
        longest = min(self.first_pause << (attempts - 1), self.longest_pause)
        return max(round(longest * (0.5 + draw / 2)), min(asked, self.longest_pause))


def delivery_of(webhook: str, change: ApprovalChange, playbook: tuple[PlaybookId, str] | None, source: str) -> Delivery:
    """What is sent of a change: a CloudEvent, whose id is the same whenever and to whomever it is sent."""
    approval = change.approval
    event_id, type = f"{approval.approval_id}.{change.sequence}", TYPE_PREFIX + WORDS[change.kind]
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": type,
        "subject": approval.name,
        "time": _time(change.changed_at),
        "datacontenttype": "application/json",
        "data": _data(change.kind, approval, playbook) | {"sequence": change.sequence},
    }
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    return Delivery(webhook, event_id, type, approval.name, change.changed_at, body)


def _data(kind: ApprovalChangeKind, approval: Approval, playbook: tuple[PlaybookId, str] | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "approval": approval.name,
        "run": f"runs/{approval.run_id}",
        "flow": f"flows/{approval.flow_id}",
        "instance": approval.instance,
        "kind": approval.kind.value,
        "state": LEAVES[kind].value,
        "deadline_time": _time(approval.deadline_at),
    }
    if LEAVES[kind] is ApprovalState.OPEN:
        data["assignees"] = list(approval.assignees)
    if LEAVES[kind] is ApprovalState.CLOSED:
        data["close_reason"] = approval.close_reason.value
    if playbook is not None:
        data["playbook_version"] = "playbooks/{}/versions/{}".format(*playbook)
    if LEAVES[kind] is ApprovalState.DECIDED and approval.decision is not None:
        data |= {"decision": approval.decision.value, "decider": approval.decider or ""}
        data |= {"authenticated": approval.authenticated, "automatic": approval.automatic}
    return data


def _time(at: int) -> str:
    moment = datetime.datetime.fromtimestamp(at // SECOND, datetime.UTC).replace(microsecond=at % SECOND)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
