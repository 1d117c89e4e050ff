"""Lists as tables: the columns of each kind of message."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from google.protobuf.message import Message

from perdure.cli.durations import short_duration
from perdure.cli.names import bare
from perdure.cli.printing.checkpoints import branching_words
from perdure.cli.printing.words import age, at, enum_word, label, one_line, rate_words
from perdure.runlog.instances import instance
from perdure.v1.approvals_pb2 import Approval
from perdure.v1.fact_events_pb2 import HoldCause

PROMPT_SIGNS: Final = 60


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its header, and what it shows of a message at a moment."""

    header: str
    value: Callable[[Any, datetime], str]


def columns_of(message: Message) -> Sequence[Column]:
    """The columns for messages of this kind. Raises KeyError for a kind that is not listed anywhere."""
    return _COLUMNS[message.DESCRIPTOR.name]


def _bounded(count: int, most: int) -> str:
    return f"{count} of {most}" if most else str(count)


def _text(header: str, field: str) -> Column:
    return Column(header, lambda message, now: one_line(str(getattr(message, field)), PROMPT_SIGNS))


def _id(header: str, field: str) -> Column:
    return Column(header, lambda message, now: bare(getattr(message, field)))


def _word(header: str, field: str) -> Column:
    def value(message: Any, now: datetime) -> str:
        number = getattr(message, field)
        return enum_word(message.DESCRIPTOR.fields_by_name[field].enum_type, number) if number else ""

    return Column(header, value)


def _age(header: str, field: str) -> Column:
    return Column(header, lambda message, now: age(getattr(message, field), now))


def _last_failure(webhook: Any, now: datetime) -> str:
    return f"{age(webhook.failure_time, now)} ago: {webhook.failure}" if webhook.failure else ""


def _expiry(approval: Any, now: datetime) -> str:
    """When the time of an open approval, or of its rung, is over, or that of an expired one was; of any other it does not
    matter."""
    if approval.state not in (Approval.STATE_OPEN, Approval.STATE_EXPIRED):
        return ""
    if approval.state == Approval.STATE_OPEN and approval.escalations and not approval.HasField("due_time"):
        return ""  # it stays open
    away = age(approval.due_time if approval.HasField("due_time") else approval.deadline_time, now)
    return f"{away} ago" if away and not away.startswith("in ") else away


def _playbook(message: Any, now: datetime) -> str:
    playbook, _, version = message.playbook_version.removeprefix("playbooks/").partition("/versions/")
    part = getattr(message, "part_instance", "")
    return f"{playbook} {version}{f' {part}' if part else ''}"


def _pending(run: Any, now: datetime) -> str:
    if run.failure_cause:
        return enum_word(run.DESCRIPTOR.fields_by_name["failure_cause"].enum_type, run.failure_cause)
    if run.pause_reason:
        return enum_word(run.DESCRIPTOR.fields_by_name["pause_reason"].enum_type, run.pause_reason)
    if run.queue_reason:
        return enum_word(run.DESCRIPTOR.fields_by_name["queue_reason"].enum_type, run.queue_reason)
    if run.holds and not run.ended_sequence:
        return f"to be held: {enum_word(HoldCause.DESCRIPTOR, run.holds[0].cause)}"
    return ""


def _times(schedule: Any, now: datetime) -> str:
    if schedule.HasField("interval"):
        return f"every {short_duration(schedule.interval.ToTimedelta())}"
    return one_line(f"{schedule.cron} {schedule.time_zone}")


def _addressee(arrived: Any, now: datetime) -> str:
    if arrived.fact.HasField("signal"):
        return one_line(arrived.fact.signal.name)
    return str(instance(arrived.fact.instance)) if arrived.fact.HasField("instance") else ""


def _exit(task: Any, now: datetime) -> str:
    if not task.HasField("result"):
        return ""
    return str(task.result.exit_code) if task.result.HasField("exit_code") else f"signal {task.result.signal}"


_PLAYBOOK: Final = Column("PLAYBOOK", _playbook)

_COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "Playbook": (
        _id("PLAYBOOK", "name"),
        _text("TITLE", "title"),
        _id("LATEST", "latest_version"),
        _id("ACTIVE", "active_version"),
        _age("AGE", "create_time"),
    ),
    "Session": (_id("SESSION", "name"), _id("ROOT AGENT", "root_agent"), _age("AGE", "create_time")),
    "Agent": (
        _id("AGENT", "name"),
        _id("SESSION", "session"),
        _id("SPAWNED BY", "spawned_by_run"),
        _age("AGE", "create_time"),
    ),
    "Flow": (
        _id("FLOW", "name"),
        _word("STATUS", "status"),
        _PLAYBOOK,
        _id("SESSION", "session"),
        _age("AGE", "create_time"),
    ),
    "Run": (
        _id("RUN", "name"),
        _word("STATE", "state"),
        Column("BECAUSE", _pending),
        _PLAYBOOK,
        _id("FLOW", "flow"),
        _age("AGE", "create_time"),
    ),
    "Checkpoint": (
        _text("CHECKPOINT", "checkpoint_id"),
        _text("AFTER", "label"),
        Column("BRANCHING FROM IT", lambda found, now: branching_words(found)),
        _age("AGE", "stored_time"),
    ),
    "EffectRecord": (
        _text("ATTEMPT", "instance"),
        _word("EFFECT", "effect"),
        _word("STATE", "state"),
        _word("OUTCOME", "outcome"),
        _text("BEGUN AT", "begun_sequence"),
        _text("EXECUTOR", "executor_id"),
        Column("KEY", lambda effect, now: one_line(effect.idempotency_key)),
        _age("AGE", "begin_time"),
    ),
    "Approval": (
        _id("APPROVAL", "name"),
        _word("STATE", "state"),
        _word("DECISION", "decision"),
        _text("HOLD POINT", "instance"),
        _id("RUN", "run"),
        _text("PROMPT", "prompt"),
        _age("AGE", "create_time"),
        Column("EXPIRES", _expiry),
    ),
    "Task": (
        _id("TASK", "name"),
        _word("STATE", "state"),
        _word("ENDED", "terminal_reason"),
        Column("EXIT", _exit),
        _text("NODE", "instance"),
        _text("COMMAND", "command"),
        _age("AGE", "start_time"),
    ),
    "Executor": (
        _id("EXECUTOR", "name"),
        _text("PROCESS", "incarnation"),
        _word("STATE", "state"),
        Column("RUNS", lambda executor, now: f"{executor.held_runs}/{executor.slots}"),
        Column("QUEUES", lambda executor, now: one_line(",".join(executor.queues))),
        Column("NODES", lambda executor, now: one_line(",".join(executor.node_kinds))),
        Column("PROVIDERS", lambda executor, now: one_line(",".join(executor.providers))),
        Column("LABELS", lambda executor, now: one_line(",".join(executor.labels))),
        _text("VERSION", "version"),
    ),
    "Schedule": (
        _id("SCHEDULE", "name"),
        Column("TIMES", _times),
        Column("STARTS", lambda schedule, now: _playbook(schedule.start, now)),
        _word("OVERLAP", "overlap"),
        _word("MISFIRE", "misfire"),
        Column("NEXT", lambda schedule, now: "paused" if schedule.paused else age(schedule.next_time, now)),
    ),
    "Key": (
        _id("KEY", "name"),
        _word("ROLE", "role"),
        _word("STATE", "state"),
        _text("ID", "key_id"),
        _age("AGE", "create_time"),
        _age("TEXT OF", "rotate_time"),
        _age("EXPIRES", "expire_time"),
    ),
    "Queue": (
        _id("QUEUE", "name"),
        Column("READY", lambda queue, now: _bounded(queue.queued_runs, queue.max_queued_runs)),
        Column("AT WORK", lambda queue, now: _bounded(queue.runs_at_work, queue.max_runs_at_work)),
        Column("RATE", lambda queue, now: rate_words(queue.rate.runs, queue.rate.period)),
        Column("NEXT", lambda queue, now: age(queue.next_claim_time, now)),
    ),
    "Webhook": (
        _id("WEBHOOK", "name"),
        _text("ENDPOINT", "endpoint"),
        Column("EVENTS", lambda webhook, now: " ".join(webhook.events)),
        _text("PENDING", "pending_deliveries"),
        _text("DEAD", "dead_deliveries"),
        _text("ARRIVED", "arrived_deliveries"),
        Column("LAST FAILURE", _last_failure),
    ),
    "WebhookDelivery": (
        Column("DELIVERY", lambda delivery, now: delivery.name.removeprefix("webhooks/")),
        Column("EVENT", lambda delivery, now: delivery.type.rpartition(".")[2]),
        _word("STATE", "state"),
        _text("ATTEMPTS", "attempts"),
        _age("NEXT", "next_attempt_time"),
        _text("FAILURE", "failure"),
    ),
    "Firing": (
        Column("TIME", lambda firing, now: f"{at(firing.scheduled_time):%Y-%m-%dT%H:%M:%SZ}"),
        _word("STATE", "state"),
        _id("FLOW", "flow"),
        Column("WHY", lambda firing, now: one_line(firing.message)),
    ),
    "InboxFact": (
        Column("SEQUENCE", lambda arrived, now: str(arrived.sequence)),
        _word("STATE", "state"),
        Column("WHAT", lambda arrived, now: label(arrived.fact.WhichOneof("fact") or "")),
        Column("FOR", _addressee),
        Column("BY", lambda arrived, now: one_line(arrived.actor)),
        _age("AGE", "record_time"),
    ),
    "AuditEvent": (
        Column("TIME", lambda event, now: f"{at(event.record_time):%Y-%m-%dT%H:%M:%SZ}"),
        _text("TYPE", "type"),
        _text("WHO", "principal"),
        _text("RESOURCE", "resource"),
        _word("OUTCOME", "outcome"),
        Column("POSITION", lambda event, now: str(event.position or "not sealed")),
        _text("FROM", "peer"),
    ),
    "Diagnostic": (
        _text("CODE", "code"),
        _text("WHERE", "path"),
        Column("WHY", lambda found, now: one_line(found.reason)),
    ),
}
