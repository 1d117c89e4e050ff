"""The first schema: playbooks, flows, runs and their logs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "agents",
        sa.Column("agent_id", WORDS, nullable=False),
        sa.Column("session_id", WORDS, nullable=False),
        sa.Column("spawned_by_run_id", WORDS, nullable=True),
        sa.Column("created_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_agents")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_agents_session_id_agent_id"), "agents", ["session_id", "agent_id"], unique=False)
    op.create_table(
        "api_keys",
        sa.Column("key_id", WORDS, nullable=False),
        sa.Column("key_name", WORDS, nullable=False),
        sa.Column("role", WORDS, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_by", WORDS, nullable=False),
        sa.Column("expires_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rotated_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("previous_digest", sa.LargeBinary(), nullable=False),
        sa.Column("previous_until", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("revoked_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("revoked_by", WORDS, nullable=False),
        sa.CheckConstraint(
            "role IN ('ADMIN', 'AUTHOR', 'OPERATOR', 'REVIEWER', 'EXECUTOR', 'SERVICE', 'VIEWER')",
            name=op.f("ck_api_keys_role"),
        ),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_api_keys_key_name_created_at"), "api_keys", ["key_name", "created_at"], unique=False)
    op.create_index(
        "uq_api_keys_live",
        "api_keys",
        ["key_name"],
        unique=True,
        sqlite_where=sa.text("revoked_at = 0"),
        postgresql_where=sa.text("revoked_at = 0"),
    )
    op.create_table(
        "approval_events",
        sa.Column("approval_id", WORDS, nullable=False),
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("approval_id", "sequence", name=op.f("pk_approval_events")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_approval_events_run_id"), "approval_events", ["run_id"], unique=False)
    op.create_table(
        "approval_votes",
        sa.Column("approval_id", WORDS, nullable=False),
        sa.Column("voter", WORDS, nullable=False),
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("decision", WORDS, nullable=False),
        sa.Column("selected_option", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("voted_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint(
            "decision IN ('APPROVED', 'REJECTED', 'EDITED', 'SELECTED', 'PROVIDED')",
            name=op.f("ck_approval_votes_decision"),
        ),
        sa.PrimaryKeyConstraint("approval_id", "voter", name=op.f("pk_approval_votes")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_approval_votes_run_id"), "approval_votes", ["run_id"], unique=False)
    op.create_table(
        "approvals",
        sa.Column("approval_id", WORDS, nullable=False),
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("flow_id", WORDS, nullable=False),
        sa.Column("session_id", WORDS, nullable=False),
        sa.Column("instance", WORDS, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("decision", WORDS, nullable=True),
        sa.Column("decider", WORDS, nullable=True),
        sa.Column("authenticated", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("selected_option", WORDS, nullable=False),
        sa.Column("content_digest", sa.LargeBinary(), nullable=False),
        sa.Column("allowed", WORDS, nullable=False),
        sa.Column("options", WORDS, nullable=False),
        sa.Column("four_eyes", WORDS, nullable=False),
        sa.Column("first_assignees", WORDS, nullable=False),
        sa.Column("assignees", WORDS, nullable=False),
        sa.Column("ever_asked", WORDS, nullable=False),
        sa.Column("quorum", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("on_timeout", WORDS, nullable=False),
        sa.Column("escalations", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("escalated_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("due_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reminders", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("automatic", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("close_reason", WORDS, nullable=False),
        sa.Column("remarks", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("prompt", WORDS, nullable=False),
        sa.Column("subject_digest", sa.LargeBinary(), nullable=False),
        sa.Column("plan_digest", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", WORDS, nullable=False),
        sa.Column("opened_sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deadline_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("closed_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("closed_sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint(
            "close_reason IN ('', 'DECIDED', 'EXPIRED', 'WITHDRAWN', 'STOPPED', 'JUMPED_OVER', 'MOVED', 'RUN_ENDED', 'VOIDED')",
            name=op.f("ck_approvals_close_reason"),
        ),
        sa.CheckConstraint(
            "decision IS NULL OR decision IN ('APPROVED', 'REJECTED', 'EDITED', 'SELECTED', 'PROVIDED')",
            name=op.f("ck_approvals_decision"),
        ),
        sa.CheckConstraint("kind IN ('APPROVE', 'REVIEW', 'INPUT', 'SELECT')", name=op.f("ck_approvals_kind")),
        sa.CheckConstraint("on_timeout IN ('FAIL', 'CONTINUE', 'ESCALATE')", name=op.f("ck_approvals_on_timeout")),
        sa.CheckConstraint("state IN ('OPEN', 'DECIDED', 'EXPIRED', 'CLOSED')", name=op.f("ck_approvals_state")),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approvals")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_approvals_closed_at"), "approvals", ["closed_at"], unique=False)
    op.create_index(op.f("ix_approvals_flow_id"), "approvals", ["flow_id"], unique=False)
    op.create_index(
        "ix_approvals_open",
        "approvals",
        ["deadline_at", "approval_id"],
        unique=False,
        sqlite_where=sa.text("state = 'OPEN'"),
        postgresql_where=sa.text("state = 'OPEN'"),
    )
    op.create_index(op.f("ix_approvals_run_id_instance"), "approvals", ["run_id", "instance"], unique=False)
    op.create_index(op.f("ix_approvals_session_id"), "approvals", ["session_id"], unique=False)
    op.create_table(
        "assignments",
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("lease_id", WORDS, nullable=False),
        sa.Column("incarnation", WORDS, nullable=False),
        sa.Column("stream_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ack_until", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_assignments")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_assignments_incarnation"), "assignments", ["incarnation"], unique=False)
    op.create_table(
        "audit_events",
        sa.Column("event_id", WORDS, nullable=False),
        sa.Column("recorded_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("type", WORDS, nullable=False),
        sa.Column("principal", WORDS, nullable=False),
        sa.Column("authenticated", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("peer", WORDS, nullable=False),
        sa.Column("method", WORDS, nullable=False),
        sa.Column("resource", WORDS, nullable=False),
        sa.Column("outcome", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("request_id", WORDS, nullable=False),
        sa.Column("details", WORDS, nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("outcome IN ('DONE', 'DENIED')", name=op.f("ck_audit_events_outcome")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_audit_events_position")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_audit_events")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_audit_events_recorded_at_event_id"), "audit_events", ["recorded_at", "event_id"], unique=False
    )
    op.create_index(
        op.f("ix_audit_events_resource_recorded_at_event_id"),
        "audit_events",
        ["resource", "recorded_at", "event_id"],
        unique=False,
    )
    op.create_index(
        "ix_audit_events_unsealed",
        "audit_events",
        ["event_id"],
        unique=False,
        sqlite_where=sa.text("position = 0"),
        postgresql_where=sa.text("position = 0"),
    )
    op.create_index(
        "uq_audit_events_position",
        "audit_events",
        ["position"],
        unique=True,
        sqlite_where=sa.text("position > 0"),
        postgresql_where=sa.text("position > 0"),
    )
    op.create_table(
        "approval_changes",
        sa.Column("approval_id", WORDS, nullable=False),
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("changed_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('OPENED', 'DECIDED', 'EXPIRED', 'CLOSED', 'ESCALATED', 'REMINDED', 'DELEGATED', 'COMMENTED', 'VOIDED')",
            name=op.f("ck_approval_changes_kind"),
        ),
        sa.PrimaryKeyConstraint("approval_id", "sequence", name=op.f("pk_approval_changes")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_approval_changes_run_id"), "approval_changes", ["run_id"], unique=False)
    op.create_index(
        "ix_approval_changes_unplaced",
        "approval_changes",
        ["approval_id"],
        unique=False,
        sqlite_where=sa.text("position = 0"),
        postgresql_where=sa.text("position = 0"),
    )
    op.create_index(
        "uq_approval_changes_position",
        "approval_changes",
        ["position"],
        unique=True,
        sqlite_where=sa.text("position > 0"),
        postgresql_where=sa.text("position > 0"),
    )
    op.create_table(
        "approval_changes_end",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pruned_position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_approval_changes_end_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_changes_end")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "webhooks",
        sa.Column("name", WORDS, nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sender", WORDS, nullable=False),
        sa.Column("sender_until", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("delivered", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("delivered_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("failed_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("failure", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_webhooks")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("webhook", WORDS, nullable=False),
        sa.Column("event_id", WORDS, nullable=False),
        sa.Column("type", WORDS, nullable=False),
        sa.Column("subject", WORDS, nullable=False),
        sa.Column("occurred_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("next_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("attempted_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("failure", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("webhook", "event_id", name=op.f("pk_webhook_deliveries")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_webhook_deliveries_webhook_occurred_at_event_id"),
        "webhook_deliveries",
        ["webhook", "occurred_at", "event_id"],
        unique=False,
    )
    op.create_index(op.f("ix_webhook_deliveries_occurred_at"), "webhook_deliveries", ["occurred_at"], unique=False)
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["webhook", "next_at"],
        unique=False,
        sqlite_where=sa.text("next_at > 0"),
        postgresql_where=sa.text("next_at > 0"),
    )
    op.create_table(
        "audit_chain",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_chain_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_chain")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_heads",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("signed_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_heads")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "executors",
        sa.Column("incarnation", WORDS, nullable=False),
        sa.Column("executor_id", WORDS, nullable=False),
        sa.Column("stream_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lease_until", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("renewed_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("node_kinds", WORDS, nullable=False),
        sa.Column("queues", WORDS, nullable=False),
        sa.Column("providers", WORDS, nullable=False),
        sa.Column("labels", WORDS, nullable=False),
        sa.Column("fold_lowest", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fold_highest", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("slots", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("incarnation", name=op.f("pk_executors")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flows",
        sa.Column("flow_id", WORDS, nullable=False),
        sa.Column("principal", WORDS, nullable=False),
        sa.Column("idempotency_key", WORDS, nullable=False),
        sa.Column("playbook_id", WORDS, nullable=False),
        sa.Column("version", WORDS, nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("session_id", WORDS, nullable=False),
        sa.Column("root_run_id", WORDS, nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("metadata", WORDS, nullable=False),
        sa.Column("source_plugin", WORDS, nullable=False),
        sa.Column("source_kind", WORDS, nullable=False),
        sa.Column("actor_id", WORDS, nullable=False),
        sa.Column("created_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("flow_id", name=op.f("pk_flows")),
        sa.UniqueConstraint("principal", "idempotency_key", name=op.f("uq_flows_principal_idempotency_key")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_flows_created_at_flow_id"), "flows", ["created_at", "flow_id"], unique=False)
    op.create_index(op.f("ix_flows_session_id_created_at"), "flows", ["session_id", "created_at"], unique=False)
    op.create_table(
        "outages",
        sa.Column("began_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ended_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("began_at", name=op.f("pk_outages")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "plans",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("plan", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_plans")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "playbook_versions",
        sa.Column("playbook_id", WORDS, nullable=False),
        sa.Column("version", WORDS, nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("plan_digest", sa.LargeBinary(), nullable=False),
        sa.Column("title", WORDS, nullable=False),
        sa.Column("objective", WORDS, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("publication", WORDS, nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("author", WORDS, nullable=False),
        sa.Column("created_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("updated_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("warnings", WORDS, nullable=False),
        sa.Column("is_reviewed", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint(
            "publication IN ('DRAFT', 'VERIFIED', 'CANARY', 'ACTIVE', 'REVOKED')",
            name=op.f("ck_playbook_versions_publication"),
        ),
        sa.PrimaryKeyConstraint("playbook_id", "version", name=op.f("pk_playbook_versions")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "uq_playbook_versions_active",
        "playbook_versions",
        ["playbook_id"],
        unique=True,
        sqlite_where=sa.text("publication = 'ACTIVE'"),
        postgresql_where=sa.text("publication = 'ACTIVE'"),
    )
    op.create_table(
        "policies",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("block_warnings", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("blocked_warnings", WORDS, nullable=False),
        sa.Column("require_review", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("require_approval", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("updated_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("updated_by", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_policies_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policies")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "publication_changes",
        sa.Column("playbook_id", WORDS, nullable=False),
        sa.Column("version", WORDS, nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("previous", WORDS, nullable=False),
        sa.Column("current", WORDS, nullable=False),
        sa.Column("evidence", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("actor", WORDS, nullable=False),
        sa.Column("changed_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("playbook_id", "version", "position", name=op.f("pk_publication_changes")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "queue_limits",
        sa.Column("queue", WORDS, nullable=False),
        sa.Column("max_at_work", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("max_queued", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rate_runs", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rate_period", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("next_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("updated_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("updated_by", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_queue_limits")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "requests",
        sa.Column("principal", WORDS, nullable=False),
        sa.Column("request_id", WORDS, nullable=False),
        sa.Column("method", WORDS, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("resource", WORDS, nullable=False),
        sa.Column("recorded_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("principal", "request_id", name=op.f("pk_requests")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_requests_recorded_at"), "requests", ["recorded_at"], unique=False)
    op.create_index(op.f("ix_requests_resource"), "requests", ["resource"], unique=False)
    op.create_table(
        "payloads",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_payloads")),
        sqlite_strict=True,
    )
    op.create_table(
        "payload_references",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("run_id", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("digest", "run_id", name=op.f("pk_payload_references")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_payload_references_run_id"), "payload_references", ["run_id"], unique=False)
    op.create_table(
        "deletions",
        sa.Column("name", WORDS, nullable=False),
        sa.Column("ended_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleted_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("events", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("purged", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("purged BETWEEN 0 AND events", name=op.f("ck_deletions_purged")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_deletions")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_deletions_deleted_at"), "deletions", ["deleted_at"], unique=False)
    op.create_index(
        "ix_deletions_unpurged",
        "deletions",
        ["name"],
        unique=False,
        sqlite_where=sa.text("purged < events"),
        postgresql_where=sa.text("purged < events"),
    )
    op.create_table(
        "run_events",
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stored_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lease_id", WORDS, nullable=True),
        sa.Column("epoch", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("ordinal", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("cause", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("actor", WORDS, nullable=True),
        sa.Column("kind", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("(lease_id IS NULL) <> (cause IS NULL)", name=op.f("ck_run_events_one_origin")),
        sa.PrimaryKeyConstraint("run_id", "sequence", name=op.f("pk_run_events")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_inbox",
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("instance", WORDS, nullable=True),
        sa.Column("fact", WORDS, nullable=False),
        sa.Column("signal", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.CheckConstraint("state IN ('OPEN', 'TAKEN', 'STALE')", name=op.f("ck_run_inbox_state")),
        sa.PrimaryKeyConstraint("run_id", "sequence", name=op.f("pk_run_inbox")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_messages",
        sa.Column("target", WORDS, nullable=False),
        sa.Column("source", WORDS, nullable=False),
        sa.Column("source_sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("sent_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("kind IN ('ENDED', 'CANCEL', 'INTERRUPT', 'CONTINUE')", name=op.f("ck_run_messages_kind")),
        sa.PrimaryKeyConstraint("target", "source", "source_sequence", name=op.f("pk_run_messages")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_queue",
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("queue", WORDS, nullable=False),
        sa.Column("priority", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ready_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fold_version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("providers", WORDS, nullable=False),
        sa.Column("labels", WORDS, nullable=False),
        sa.Column("concurrency_key", WORDS, nullable=False),
        sa.Column("concurrency_limit", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_queue")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_snapshots",
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fold_version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("form", WORDS, nullable=False),
        sa.Column("head_digest", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("contents", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_snapshots")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_waits",
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("instance", WORDS, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("approval_id", WORDS, nullable=True),
        sa.Column("signal", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("opened_sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fact_sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("opened_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deadline_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("child_run_id", WORDS, nullable=True),
        sa.CheckConstraint(
            "kind IN ('approval', 'timer', 'signal', 'child', 'backoff')", name=op.f("ck_run_waits_kind")
        ),
        sa.CheckConstraint("state IN ('OPEN', 'RESOLVED', 'TAKEN', 'CLOSED')", name=op.f("ck_run_waits_state")),
        sa.PrimaryKeyConstraint("run_id", "instance", "kind", name=op.f("pk_run_waits")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_run_waits_child_run_id",
        "run_waits",
        ["child_run_id"],
        unique=False,
        sqlite_where=sa.text("child_run_id IS NOT NULL"),
        postgresql_where=sa.text("child_run_id IS NOT NULL"),
    )
    op.create_index(
        "ix_run_waits_deadline_at",
        "run_waits",
        ["deadline_at"],
        unique=False,
        sqlite_where=sa.text("deadline_at > 0"),
        postgresql_where=sa.text("deadline_at > 0"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("flow_id", WORDS, nullable=False),
        sa.Column("session_id", WORDS, nullable=False),
        sa.Column("agent_id", WORDS, nullable=False),
        sa.Column("parent_run_id", WORDS, nullable=True),
        sa.Column("lineage_id", WORDS, nullable=False),
        sa.Column("playbook_id", WORDS, nullable=False),
        sa.Column("playbook_version", WORDS, nullable=False),
        sa.Column("plan_digest", sa.LargeBinary(), nullable=False),
        sa.Column("fold_version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("term", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("queue", WORDS, nullable=False),
        sa.Column("priority", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("providers", WORDS, nullable=False),
        sa.Column("labels", WORDS, nullable=False),
        sa.Column("starter", WORDS, nullable=False),
        sa.Column("created_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("concurrency_key", WORDS, nullable=False),
        sa.Column("concurrency_limit", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("part_instance", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("holds", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ready", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stop", WORDS, nullable=True),
        sa.Column("stop_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lease_id", WORDS, nullable=True),
        sa.Column("executor_id", WORDS, nullable=True),
        sa.Column("incarnation", WORDS, nullable=True),
        sa.Column("epoch", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("generation", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("next_ordinal", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tail", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("released_lease_id", WORDS, nullable=True),
        sa.Column("released_ordinal", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("last_sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("outside_sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("open_effects", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("in_doubt", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("resolved_effects", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("open_waits", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("child", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("children", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fruitless_takeovers", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deadline_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ended_sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ended_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("failure_cause", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("failure_message", WORDS, nullable=False),
        sa.Column("failed_instance", WORDS, nullable=False),
        sa.Column("place", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("(state = 'RUNNING') = (lease_id IS NOT NULL)", name=op.f("ck_runs_lease_while_running")),
        sa.CheckConstraint(
            "state <> 'QUEUED' OR (holds = 0 AND in_doubt = 0 AND ready = 1)", name=op.f("ck_runs_queued_is_ready")
        ),
        sa.CheckConstraint(
            "state IN ('QUEUED', 'RUNNING', 'PAUSED', 'COMPLETED', 'FAILED', 'CANCELLED', 'INTERRUPTED', 'EXPIRED', 'TIMED_OUT', 'MOVED')",
            name=op.f("ck_runs_state"),
        ),
        sa.CheckConstraint("stop IS NULL OR stop IN ('CANCEL', 'INTERRUPT', 'DEADLINE')", name=op.f("ck_runs_stop")),
        sa.CheckConstraint(
            "open_effects >= 0 AND in_doubt >= 0 AND resolved_effects >= 0 AND open_waits >= 0",
            name=op.f("ck_runs_counts"),
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
        postgresql_with={"fillfactor": "50"},
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_runs_created_at_run_id"), "runs", ["created_at", "run_id"], unique=False)
    op.create_index(
        "ix_runs_deadline_at",
        "runs",
        ["deadline_at"],
        unique=False,
        sqlite_where=sa.text("deadline_at > 0"),
        postgresql_where=sa.text("deadline_at > 0"),
    )
    op.create_index(op.f("ix_runs_flow_id"), "runs", ["flow_id"], unique=False)
    op.create_index(
        "ix_runs_kept",
        "runs",
        ["created_at"],
        unique=False,
        sqlite_where=sa.text("holds > 0 OR in_doubt > 0"),
        postgresql_where=sa.text("holds > 0 OR in_doubt > 0"),
    )
    op.create_index(
        "ix_runs_of_a_key",
        "runs",
        ["concurrency_key", "place"],
        unique=False,
        sqlite_where=sa.text("concurrency_key != ''"),
        postgresql_where=sa.text("concurrency_key != ''"),
    )
    op.create_index(
        "ix_runs_parent_run_id",
        "runs",
        ["parent_run_id"],
        unique=False,
        sqlite_where=sa.text("parent_run_id IS NOT NULL"),
        postgresql_where=sa.text("parent_run_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_runs_session_id_created_at"), "runs", ["session_id", "created_at"], unique=False)
    op.create_index(op.f("ix_runs_state_created_at"), "runs", ["state", "created_at"], unique=False)
    op.create_table(
        "schedule_firings",
        sa.Column("schedule_id", WORDS, nullable=False),
        sa.Column("scheduled_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fired_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("flow_id", WORDS, nullable=True),
        sa.Column("message", WORDS, nullable=False),
        sa.Column("triggered", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint(
            "state IN ('STARTED', 'WAITING', 'SKIPPED', 'MISSED', 'REFUSED')", name=op.f("ck_schedule_firings_state")
        ),
        sa.PrimaryKeyConstraint("schedule_id", "scheduled_at", name=op.f("pk_schedule_firings")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_schedule_firings_fired_at"), "schedule_firings", ["fired_at"], unique=False)
    op.create_table(
        "schedules",
        sa.Column("schedule_id", WORDS, nullable=False),
        sa.Column("uid", WORDS, nullable=False),
        sa.Column("principal", WORDS, nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("start", WORDS, nullable=False),
        sa.Column("cron", WORDS, nullable=False),
        sa.Column("interval", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("time_zone", WORDS, nullable=False),
        sa.Column("overlap", WORDS, nullable=False),
        sa.Column("misfire", WORDS, nullable=False),
        sa.Column("catch_up_window", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("jitter", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("paused", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("next_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("due_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("waiting_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("last_flow_id", WORDS, nullable=True),
        sa.Column("created_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("misfire IN ('SKIP', 'RUN_ONCE', 'RUN_ALL')", name=op.f("ck_schedules_misfire")),
        sa.CheckConstraint(
            "overlap IN ('SKIP', 'QUEUE_ONE', 'ALLOW', 'CANCEL_PREVIOUS')", name=op.f("ck_schedules_overlap")
        ),
        sa.PrimaryKeyConstraint("schedule_id", name=op.f("pk_schedules")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_schedules_due_at"), "schedules", ["due_at"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("session_id", WORDS, nullable=False),
        sa.Column("root_agent_id", WORDS, nullable=False),
        sa.Column("created_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("parent_session_id", WORDS, nullable=True),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "store",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("generation", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("starts", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("origin", WORDS, nullable=False),
        sa.Column("keys_fingerprint", WORDS, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_store_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_store")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sweeps",
        sa.Column("name", WORDS, nullable=False),
        sa.Column("ticked_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sweeps")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tasks",
        sa.Column("task_id", WORDS, nullable=False),
        sa.Column("session_id", WORDS, nullable=False),
        sa.Column("run_id", WORDS, nullable=False),
        sa.Column("instance", WORDS, nullable=False),
        sa.Column("lease_id", WORDS, nullable=False),
        sa.Column("command", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("terminal_reason", WORDS, nullable=True),
        sa.Column("exit_code", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("signal", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("output_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("output_truncated", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("duration_micros", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("started_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ended_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("state IN ('RUNNING', 'COMPLETED', 'FAILED')", name=op.f("ck_tasks_state")),
        sa.CheckConstraint(
            "terminal_reason IS NULL OR terminal_reason IN ('EXITED', 'SIGNALLED', 'NOT_STARTED', 'TIMED_OUT', 'STOPPED', 'EXECUTOR_LOST')",
            name=op.f("ck_tasks_terminal_reason"),
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_tasks")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_tasks_run_id"), "tasks", ["run_id"], unique=False)
    op.create_index(op.f("ix_tasks_session_id_started_at"), "tasks", ["session_id", "started_at"], unique=False)
    op.create_index("ix_run_queue_order", "run_queue", [sa.text("priority DESC"), "ready_at", "run_id"])
