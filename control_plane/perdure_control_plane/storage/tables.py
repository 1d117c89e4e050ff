"""The tables. Times are microseconds since 1970 by the store's clock, and 0 means never; digests are raw SHA-256.

`runs`, `run_queue`, `run_inbox`, `run_waits`, `approvals`, `approval_events`, `tasks` and `payload_references` are
projections: a test rebuilds every column of them from `run_events`. `run_snapshots` is a cache of them: without it
everything is as it was.
`executors` and `assignments` say who is alive and hold nothing that a log knows.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.schema import SchemaItem

from perdure.audit.events import AuditOutcome
from perdure.runlog.head import Stop
from perdure.runlog.states import RunState
from perdure_control_plane.domain.approval import ApprovalKind, ApprovalState, CloseReason, Decision, OnTimeout
from perdure_control_plane.domain.approval_change import ApprovalChangeKind
from perdure_control_plane.domain.inbox import FactState, WaitKind, WaitState
from perdure_control_plane.domain.playbook import Publication
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.domain.run_message import MessageKind
from perdure_control_plane.domain.schedule import FiringState, Misfire, Overlap
from perdure_control_plane.domain.task import TaskState, TerminalReason

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Number = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit integer; SQLite's strict tables know it by its own name."""

Words = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared byte by byte, as SQLite does: no page's order hangs on how a database was made."""


def _table(name: str, *parts: SchemaItem, **options: Any) -> Table:
    return Table(name, metadata, *parts, sqlite_with_rowid=False, sqlite_strict=True, **options)


def _text(name: str, *, default: str | None = None) -> Column[str]:
    return Column(name, Words, nullable=False, server_default=default)


def _number(name: str, *, default: int | None = None) -> Column[int]:
    return Column(name, Number, nullable=False, server_default=None if default is None else text(str(default)))


def _bytes(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def _key(name: str) -> Column[str]:
    return Column(name, Words, primary_key=True)


def _one_of(column: str, values: Iterable[StrEnum], *, or_null: bool = False) -> CheckConstraint:
    listed = ", ".join(f"'{value.value}'" for value in values)
    null = f"{column} IS NULL OR " if or_null else ""
    return CheckConstraint(f"{null}{column} IN ({listed})", name=column)


store = _table(
    "store",
    Column("id", Number, primary_key=True),
    _number("generation"),
    _number("starts"),
    _text("origin"),
    _text("keys_fingerprint"),
    CheckConstraint("id = 1", name="one_row"),
)

playbook_versions = _table(
    "playbook_versions",
    _key("playbook_id"),
    _key("version"),
    _text("digest"),
    _bytes("plan_digest"),
    _text("title"),
    _text("objective"),
    _bytes("document"),
    _text("publication"),
    _number("position"),
    _text("author"),
    _number("created_at"),
    _number("updated_at"),
    _text("warnings"),
    _number("is_reviewed"),
    _one_of("publication", Publication),
)
Index(
    "uq_playbook_versions_active",
    playbook_versions.c.playbook_id,
    unique=True,
    sqlite_where=playbook_versions.c.publication == Publication.ACTIVE.value,
    postgresql_where=playbook_versions.c.publication == Publication.ACTIVE.value,
)

publication_changes = _table(
    "publication_changes",
    _key("playbook_id"),
    _key("version"),
    Column("position", Number, primary_key=True),
    _text("previous"),
    _text("current"),
    _text("evidence"),
    _text("reason"),
    _text("actor"),
    _number("changed_at"),
)

plans = _table("plans", Column("digest", LargeBinary, primary_key=True), _bytes("plan"))

sessions = _table(
    "sessions",
    _key("session_id"),
    _text("root_agent_id"),
    _number("created_at"),
    Column("parent_session_id", Words),
)

agents = _table(
    "agents",
    _key("agent_id"),
    _text("session_id"),
    Column("spawned_by_run_id", Words),
    _number("created_at"),
    Index(None, "session_id", "agent_id"),
)

flows = _table(
    "flows",
    _key("flow_id"),
    _text("principal"),
    _text("idempotency_key"),
    _text("playbook_id"),
    _text("version"),
    _text("digest"),
    _text("session_id"),
    _text("root_run_id"),
    _bytes("request_digest"),
    _text("metadata"),
    _text("source_plugin"),
    _text("source_kind"),
    _text("actor_id"),
    _number("created_at"),
    UniqueConstraint("principal", "idempotency_key"),
    Index(None, "created_at", "flow_id"),
    Index(None, "session_id", "created_at"),
)

runs = _table(
    "runs",
    _key("run_id"),
    _text("flow_id"),
    _text("session_id"),
    _text("agent_id"),
    Column("parent_run_id", Words),
    _text("lineage_id"),
    _text("playbook_id"),
    _text("playbook_version"),
    _bytes("plan_digest"),
    _number("fold_version"),
    _number("term"),
    _text("queue"),
    _number("priority"),
    _text("providers"),
    _text("labels"),
    _text("starter"),
    _number("created_at"),
    _text("concurrency_key"),
    _number("concurrency_limit"),
    _text("part_instance"),
    _text("state"),
    _number("holds"),
    _number("ready"),
    Column("stop", Words),
    _number("stop_at"),
    Column("lease_id", Words),
    Column("executor_id", Words),
    Column("incarnation", Words),
    _number("epoch"),
    _number("generation"),
    _number("next_ordinal"),
    _number("tail"),
    Column("released_lease_id", Words),
    _number("released_ordinal"),
    _number("last_sequence"),
    _number("outside_sequence"),
    _number("open_effects"),
    _number("in_doubt"),
    _number("resolved_effects"),
    _number("open_waits"),
    _number("child"),
    _number("children"),
    _number("fruitless_takeovers"),
    _number("deadline_at"),
    _number("ended_sequence"),
    _number("ended_at"),
    _number("failure_cause"),
    _text("failure_message"),
    _text("failed_instance"),
    _number("place"),
    _one_of("state", RunState),
    _one_of("stop", Stop, or_null=True),
    CheckConstraint(f"(state = '{RunState.RUNNING.value}') = (lease_id IS NOT NULL)", name="lease_while_running"),
    CheckConstraint(
        f"state <> '{RunState.QUEUED.value}' OR (holds = 0 AND in_doubt = 0 AND ready = 1)", name="queued_is_ready"
    ),
    CheckConstraint("open_effects >= 0 AND in_doubt >= 0 AND resolved_effects >= 0 AND open_waits >= 0", name="counts"),
    Index(None, "state", "created_at"),
    Index(None, "flow_id"),
    Index(None, "session_id", "created_at"),
    Index(None, "created_at", "run_id"),
    # Every commit of a run moves its row: where the new version finds room on the same page, no index is touched.
    postgresql_with={"fillfactor": "50"},
)
Index(
    "ix_runs_deadline_at",
    runs.c.deadline_at,
    sqlite_where=runs.c.deadline_at > 0,
    postgresql_where=runs.c.deadline_at > 0,
)

Index(
    "ix_runs_parent_run_id",
    runs.c.parent_run_id,
    sqlite_where=runs.c.parent_run_id.is_not(None),
    postgresql_where=runs.c.parent_run_id.is_not(None),
)

_of_a_key = runs.c.concurrency_key != ""
Index(
    "ix_runs_of_a_key",
    runs.c.concurrency_key,
    runs.c.place,
    sqlite_where=_of_a_key,
    postgresql_where=_of_a_key,
)

_kept = (runs.c.holds > 0) | (runs.c.in_doubt > 0)
Index("ix_runs_kept", runs.c.created_at, sqlite_where=_kept, postgresql_where=_kept)

run_events = _table(
    "run_events",
    _key("run_id"),
    Column("sequence", Number, primary_key=True),
    _number("stored_at"),
    Column("lease_id", Words),
    Column("epoch", Number),
    Column("ordinal", Number),
    Column("cause", Number),
    Column("actor", Words),
    _number("kind"),
    _bytes("event"),
    CheckConstraint("(lease_id IS NULL) <> (cause IS NULL)", name="one_origin"),
)

# Large payloads, each once. Rows are large themselves, so SQLite keeps them in a table with row ids.
payloads = Table(
    "payloads",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    _number("bytes"),
    _bytes("content"),
    _number("kept_at"),
    sqlite_strict=True,
)

payload_references = _table(
    "payload_references",
    Column("digest", LargeBinary, primary_key=True),
    _key("run_id"),
    Index(None, "run_id"),
)

run_snapshots = _table(
    "run_snapshots",
    _key("run_id"),
    _number("sequence"),
    _number("seen"),
    _number("fold_version"),
    _text("form"),
    _bytes("head_digest"),
    _bytes("state"),
    _bytes("contents"),
)

run_queue = _table(
    "run_queue",
    _key("run_id"),
    _text("queue"),
    _number("priority"),
    _number("ready_at"),
    _number("fold_version"),
    _text("providers"),
    _text("labels"),
    # Of a run that wants a place; empty and 0 for one that has it, or needs none.
    _text("concurrency_key"),
    _number("concurrency_limit"),
    Index("ix_run_queue_order", text("priority DESC"), "ready_at", "run_id"),
)

policies = _table(
    "policies",
    Column("id", Number, primary_key=True),
    _number("block_warnings"),
    _text("blocked_warnings"),
    _number("require_review"),
    _number("require_approval"),
    _number("updated_at"),
    _text("updated_by"),
    _text("reason"),
    CheckConstraint("id = 1", name="one_row"),
)

queue_limits = _table(
    "queue_limits",
    _key("queue"),
    _number("max_at_work"),
    _number("max_queued"),
    _number("rate_runs"),
    _number("rate_period"),
    _number("next_at"),
    _number("updated_at"),
    _text("updated_by"),
    _text("reason"),
)

run_inbox = _table(
    "run_inbox",
    _key("run_id"),
    Column("sequence", Number, primary_key=True),
    Column("instance", Words),
    _text("fact"),
    _text("signal"),
    _text("state"),
    _one_of("state", FactState),
)

# A wait's deadline is kept while it is open and is 0 from then on, so that the index below has the open ones alone. An
# index on the state itself would make SQLite plan every statement that names a state anew each time it runs.
run_waits = _table(
    "run_waits",
    _key("run_id"),
    _key("instance"),
    _key("kind"),  # an attempt that was a child's may be waited after, too: for the back-off before the next
    Column("approval_id", Words),
    _text("signal"),
    _text("state"),
    _number("opened_sequence"),
    _number("fact_sequence"),
    _number("opened_at"),
    _number("deadline_at"),
    Column("child_run_id", Words),
    _one_of("kind", WaitKind),
    _one_of("state", WaitState),
)
Index(
    "ix_run_waits_deadline_at",
    run_waits.c.deadline_at,
    sqlite_where=run_waits.c.deadline_at > 0,
    postgresql_where=run_waits.c.deadline_at > 0,
)

Index(
    "ix_run_waits_child_run_id",
    run_waits.c.child_run_id,
    sqlite_where=run_waits.c.child_run_id.is_not(None),
    postgresql_where=run_waits.c.child_run_id.is_not(None),
)

# What one run has to tell another and has not yet: no projection, for a row goes when the other's log has it.
run_messages = _table(
    "run_messages",
    _key("target"),
    _key("source"),
    Column("source_sequence", Number, primary_key=True),
    _text("kind"),
    _number("sent_at"),
    _one_of("kind", MessageKind),
)

approvals = _table(
    "approvals",
    _key("approval_id"),
    _text("run_id"),
    _text("flow_id"),
    _text("session_id"),
    _text("instance"),
    _text("kind"),
    _text("state"),
    Column("decision", Words),
    Column("decider", Words),
    _number("authenticated"),
    _text("reason"),
    _text("selected_option"),
    _bytes("content_digest"),
    _text("allowed"),
    _text("options"),
    _text("four_eyes"),
    _text("first_assignees"),
    _text("assignees"),
    _text("ever_asked"),
    _number("quorum"),
    _text("on_timeout"),
    _number("escalations"),
    _number("escalated_at"),
    _number("due_at"),
    _number("reminders"),
    _number("automatic"),
    _text("close_reason"),
    _number("remarks"),
    _text("prompt"),
    _bytes("subject_digest"),
    _bytes("plan_digest"),
    _text("nonce"),
    _number("opened_sequence"),
    _number("created_at"),
    _number("deadline_at"),
    _number("closed_at"),
    _number("closed_sequence"),
    _one_of("kind", ApprovalKind),
    _one_of("state", ApprovalState),
    _one_of("decision", Decision, or_null=True),
    _one_of("on_timeout", OnTimeout),
    _one_of("close_reason", CloseReason),
    Index(None, "run_id", "instance"),
    Index(None, "flow_id"),
    Index(None, "session_id"),
    Index(None, "closed_at"),
)

# Where in its run's log is what has happened to an approval while it was open.
approval_events = _table(
    "approval_events",
    _key("approval_id"),
    Column("sequence", Number, primary_key=True),
    _text("run_id"),
    Index(None, "run_id"),
)

# What people have said of an approval that asks several: no projection, for the log has it once enough say the same.
approval_votes = _table(
    "approval_votes",
    _key("approval_id"),
    _key("voter"),
    _text("run_id"),
    _text("decision"),
    _text("selected_option"),
    _text("reason"),
    _number("voted_at"),
    _one_of("decision", Decision),
    Index(None, "run_id"),
)

_is_open = approvals.c.state == ApprovalState.OPEN.value
Index(
    "ix_approvals_open",
    approvals.c.deadline_at,
    approvals.c.approval_id,
    sqlite_where=_is_open,
    postgresql_where=_is_open,
)

# What happened to approvals: written with the event that says so, and given its place in one order over all runs when
# that is committed; 0 until then. Old ones are deleted.
approval_changes = _table(
    "approval_changes",
    _key("approval_id"),
    Column("sequence", Number, primary_key=True),
    _text("run_id"),
    _text("kind"),
    _number("changed_at"),
    _number("position"),
    _one_of("kind", ApprovalChangeKind),
    Index(None, "run_id"),
)
_is_unplaced = approval_changes.c.position == literal_column("0")
Index(
    "ix_approval_changes_unplaced",
    approval_changes.c.approval_id,
    sqlite_where=_is_unplaced,
    postgresql_where=_is_unplaced,
)
_is_placed = approval_changes.c.position > literal_column("0")
Index(
    "uq_approval_changes_position",
    approval_changes.c.position,
    unique=True,
    sqlite_where=_is_placed,
    postgresql_where=_is_placed,
)

# Where that order ends. Whoever makes it longer locks the row.
approval_changes_end = _table(
    "approval_changes_end",
    Column("id", Number, primary_key=True),
    _number("position"),
    _number("pruned_position"),
    CheckConstraint("id = 1", name="one_row"),
)

# Who is told of changes of approvals, and up to where each has been. Who is one now is said by servers' settings.
webhooks = _table(
    "webhooks",
    _key("name"),
    _number("position"),
    _text("sender"),
    _number("sender_until"),
    _number("delivered"),
    _number("delivered_at"),
    _number("failed_at"),
    _text("failure"),
)

# What is on its way to them, and has not arrived; with `next_at` 0 a dead letter, which waits for a person.
webhook_deliveries = _table(
    "webhook_deliveries",
    _key("webhook"),
    _key("event_id"),
    _text("type"),
    _text("subject"),
    _number("occurred_at"),
    _bytes("body"),
    _number("attempts"),
    _number("next_at"),
    _number("attempted_at"),
    _text("failure"),
    Index(None, "webhook", "occurred_at", "event_id"),
    Index(None, "occurred_at"),
)
_is_pending = webhook_deliveries.c.next_at > literal_column("0")
Index(
    "ix_webhook_deliveries_pending",
    webhook_deliveries.c.webhook,
    webhook_deliveries.c.next_at,
    sqlite_where=_is_pending,
    postgresql_where=_is_pending,
)

tasks = _table(
    "tasks",
    _key("task_id"),
    _text("session_id"),
    _text("run_id"),
    _text("instance"),
    _text("lease_id"),
    _text("command"),
    _text("state"),
    Column("terminal_reason", Words),
    Column("exit_code", Number),
    _number("signal"),
    _number("output_bytes"),
    _number("output_truncated"),
    _number("duration_micros"),
    _number("started_at"),
    _number("ended_at"),
    _one_of("state", TaskState),
    _one_of("terminal_reason", TerminalReason, or_null=True),
    Index(None, "session_id", "started_at"),
    Index(None, "run_id"),
)

executors = _table(
    "executors",
    _key("incarnation"),
    _text("executor_id"),
    _number("stream_number"),
    _number("lease_until"),
    _number("renewed_at"),
    _text("node_kinds"),
    _text("queues"),
    _text("providers"),
    _text("labels"),
    _number("fold_lowest"),
    _number("fold_highest"),
    _number("slots"),
    _text("version"),
)

assignments = _table(
    "assignments",
    _key("run_id"),
    _text("lease_id"),
    _text("incarnation"),
    _number("stream_number"),
    _number("number"),
    _number("ack_until"),
    Index(None, "incarnation"),
)

schedules = _table(
    "schedules",
    _key("schedule_id"),
    _text("uid"),
    _text("principal"),
    _bytes("request_digest"),
    _text("start"),
    _text("cron"),
    _number("interval"),
    _text("time_zone"),
    _text("overlap"),
    _text("misfire"),
    _number("catch_up_window"),
    _number("jitter"),
    _number("paused"),
    _number("next_at"),
    _number("due_at"),
    _number("waiting_at"),
    Column("last_flow_id", Words),
    _number("created_at"),
    _one_of("overlap", Overlap),
    _one_of("misfire", Misfire),
    Index(None, "due_at"),
)

schedule_firings = _table(
    "schedule_firings",
    _key("schedule_id"),
    Column("scheduled_at", Number, primary_key=True),
    _number("fired_at"),
    _text("state"),
    Column("flow_id", Words),
    _text("message"),
    _number("triggered"),
    _one_of("state", FiringState),
    Index(None, "fired_at"),
)

requests = _table(
    "requests",
    _key("principal"),
    _key("request_id"),
    _text("method"),
    _bytes("digest"),
    _text("resource"),
    _number("recorded_at"),
    Index(None, "recorded_at"),
    Index(None, "resource"),
)

api_keys = _table(
    "api_keys",
    _key("key_id"),
    _text("key_name"),
    _text("role"),
    _bytes("digest"),
    _number("created_at"),
    _text("created_by"),
    _number("expires_at"),
    _number("rotated_at"),
    _bytes("previous_digest"),
    _number("previous_until"),
    _number("revoked_at"),
    _text("revoked_by"),
    _one_of("role", Role),
    Index(None, "key_name", "created_at"),
)
_not_revoked = api_keys.c.revoked_at == text("0")
Index("uq_api_keys_live", api_keys.c.key_name, unique=True, sqlite_where=_not_revoked, postgresql_where=_not_revoked)

# What was deleted, flows and runs, by their names. A run's events are deleted bit by bit: the first `purged` are gone.
deletions = _table(
    "deletions",
    _key("name"),
    _number("ended_at"),
    _number("deleted_at"),
    _number("events"),
    _number("purged"),
    CheckConstraint("purged BETWEEN 0 AND events", name="purged"),
    Index(None, "deleted_at"),
)
_unpurged = deletions.c.purged < deletions.c.events
Index("ix_deletions_unpurged", deletions.c.name, sqlite_where=_unpurged, postgresql_where=_unpurged)

# What was done and what was denied. A row stands or falls with what it records, and is never changed but for its place
# in the chain, which it is given afterwards; 0 until then.
audit_events = _table(
    "audit_events",
    _key("event_id"),
    _number("recorded_at"),
    _text("type"),
    _text("principal"),
    _number("authenticated"),
    _text("peer"),
    _text("method"),
    _text("resource"),
    _text("outcome"),
    _text("reason"),
    _text("request_id"),
    _text("details"),
    _number("position"),
    _bytes("previous_hash"),
    _bytes("hash"),
    _one_of("outcome", AuditOutcome),
    CheckConstraint("position >= 0", name="position"),
    Index(None, "recorded_at", "event_id"),
    Index(None, "resource", "recorded_at", "event_id"),
)
_is_unsealed = audit_events.c.position == literal_column("0")
Index(
    "ix_audit_events_unsealed",
    audit_events.c.event_id,
    sqlite_where=_is_unsealed,
    postgresql_where=_is_unsealed,
)
_is_sealed = audit_events.c.position > literal_column("0")
Index(
    "uq_audit_events_position",
    audit_events.c.position,
    unique=True,
    sqlite_where=_is_sealed,
    postgresql_where=_is_sealed,
)

# Where the chain ends. Whoever makes it longer locks the row.
audit_chain = _table(
    "audit_chain",
    Column("id", Number, primary_key=True),
    _number("position"),
    _bytes("hash"),
    CheckConstraint("id = 1", name="one_row"),
)

audit_heads = _table(
    "audit_heads",
    Column("position", Number, primary_key=True),
    _bytes("hash"),
    _number("signed_at"),
    _bytes("public_key"),
    _bytes("signature"),
)

sweeps = _table("sweeps", _key("name"), _number("ticked_at"))

outages = _table("outages", Column("began_at", Number, primary_key=True), _number("ended_at"))
