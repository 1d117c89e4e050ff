"""Audit events: one for each change, whoever made it, and for each call that was denied.

An event says who did what to which resource. It never holds what was said, given or decided about: no content, no
argument and no secret; only whether there was any, and its digest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class AuditType(StrEnum):
    """What happened."""

    RUN_CREATED = "run.created"
    RUN_PAUSED = "run.paused"
    RUN_RESUMED = "run.resumed"
    RUN_CANCELLED = "run.cancelled"
    RUN_INTERRUPTED = "run.interrupted"
    RUN_TIMED_OUT = "run.timed_out"
    RUN_CONTINUED = "run.continued"
    RUN_SIGNALLED = "run.signalled"
    EFFECT_RESOLVED = "effect.resolved"
    HUMAN_DECISION = "human.decision"
    HUMAN_VOTE = "human.vote"
    HUMAN_DELEGATED = "human.delegated"
    HUMAN_WITHDRAWN = "human.withdrawn"
    HUMAN_COMMENTED = "human.commented"
    HUMAN_REMINDED = "human.reminded"
    HUMAN_ESCALATED = "human.escalated"
    HUMAN_CONTINUED = "human.continued"
    HUMAN_CONTINUE_FAILED = "human.continue_failed"
    HUMAN_EXPIRED = "human.expired"
    SIGNAL_EXPIRED = "signal.expired"
    PLAYBOOK_CREATED = "playbook.created"
    PLAYBOOK_PUBLISHED = "playbook.published"
    PLAYBOOK_REVOKED = "playbook.revoked"
    SESSION_CREATED = "session.created"
    SCHEDULE_CREATED = "schedule.created"
    SCHEDULE_PAUSED = "schedule.paused"
    SCHEDULE_RESUMED = "schedule.resumed"
    SCHEDULE_TRIGGERED = "schedule.triggered"
    SCHEDULE_DELETED = "schedule.deleted"
    QUEUE_UPDATED = "queue.updated"
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    POLICY_CHANGED = "policy.changed"
    WEBHOOK_RETRIED = "webhook.retried"
    WEBHOOK_DROPPED = "webhook.dropped"
    RETENTION_DELETED = "retention.deleted"
    AUDIT_PRUNED = "audit.pruned"
    STORE_RESTORED = "store.restored"
    AUTH_DENIED = "auth.denied"


class AuditOutcome(StrEnum):
    """What came of it."""

    DONE = "DONE"
    DENIED = "DENIED"


class AuditDetail(StrEnum):
    """What an event may say beside who, what and where: names, digests, words of closed lists, and counts."""

    FLOW = "flow"
    RUN = "run"
    SESSION = "session"
    PLAYBOOK_VERSION = "playbook_version"
    DIGEST = "digest"
    PLAN_DIGEST = "plan_digest"
    PUBLICATION = "publication"
    SUPERSEDED = "superseded"
    DECISION = "decision"
    SELECTED_OPTION = "selected_option"
    ON_TIMEOUT = "on_timeout"
    RUNG = "rung"
    ASSIGNEE = "assignee"
    ERROR = "error"
    RESOLUTION = "resolution"
    INSTANCE = "instance"
    SIGNAL = "signal"
    STATE = "state"
    ROLE = "role"
    KEY_ID = "key_id"
    EXPIRES = "expires"
    COUNT = "count"
    POSITION = "position"
    GENERATION = "generation"
    POLICY = "policy"
    EVENT = "event"
    HAS_REASON = "has_reason"
    HAS_CONTENT = "has_content"
    CONTENT_DIGEST = "content_digest"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event. `recorded_at` is in microseconds since 1970 by the store's clock; it says nothing of the order.

    `reason` is the typed reason of a denial, `peer` the address the call came from, and `method` the RPC, or the name of
    what the server does by itself. Values of `details` are texts, by the names of AuditDetail.
    """

    event_id: str
    recorded_at: int
    type: str
    principal: str
    authenticated: bool
    peer: str
    method: str
    resource: str
    outcome: str
    reason: str
    request_id: str
    details: Mapping[str, str]
