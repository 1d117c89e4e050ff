"""Event batches as they come: each event is checked for its form, and turned into the bytes that are stored."""

from collections.abc import Callable
from typing import Any, Final

from perdure.runlog.instances import NAME, instance
from perdure.runlog.kinds import KIND_NUMBERS
from perdure.runlog.plans import MAX_ITEMS, MAX_LISTED
from perdure.runlog.questions import question_faults
from perdure.v1 import (
    execution_pb2,
    fact_events_pb2,
    instances_pb2,
)
from perdure_control_plane.api.work.asked import approval_fault, deadline_fault, question_fault, strange_approval
from perdure_control_plane.domain.admission import Batch, Incoming, Refused
from perdure_control_plane.domain.errors import ProtocolViolation
from perdure_control_plane.domain.ids import LeaseId, RunId
from perdure_control_plane.usecases.record_late_report import Report

ENVELOPE_BYTES: Final = 4096
"""What an event may have beside its payload."""

MAX_MESSAGE_BYTES: Final = 1024
"""Longest line for people in a control event."""


_WITHOUT_CAUSE: Final = frozenset((instances_pb2.OUTCOME_SUCCEEDED, instances_pb2.OUTCOME_ASKED))


def read_batch(message: execution_pb2.EventBatch, max_payload_bytes: int) -> Batch:
    """The batch a message holds, up to the first event that is unfit whatever the run's state."""
    events: list[Incoming] = []
    batch = Batch(
        RunId(message.run_id), LeaseId(message.lease_id), message.tail, message.first_ordinal, message.seen, events
    )
    limit = max_payload_bytes + ENVELOPE_BYTES
    for event in message.events:
        kind = event.WhichOneof("kind") or ""
        stored = event.SerializeToString()
        if len(stored) > limit:
            reason = execution_pb2.REFUSAL_REASON_PAYLOAD_TOO_LARGE
            batch.malformed = _refused(batch, reason, f"{kind} has {len(stored)} bytes; the limit is {limit}")
            return batch
        check = _CHECKS.get(kind)
        fault = check(getattr(event, kind)) if check is not None else ("" if kind in KIND_NUMBERS else "no kind is set")
        if kind == "wait_opened" and not fault:
            fault = strange_approval(event.wait_opened.instance, event.wait_opened, message.run_id)
        elif kind == "node_settled" and event.node_settled.HasField("question") and not fault:
            fault = strange_approval(event.node_settled.instance, event.node_settled.question, message.run_id)
        if fault:
            batch.malformed = _refused(batch, execution_pb2.REFUSAL_REASON_MALFORMED, f"{kind}: {fault}")
            return batch
        if kind == "child_started":
            batch.starts_children = True
        events.append(Incoming(kind, KIND_NUMBERS[kind], stored, event))
    return batch


def read_report(message: execution_pb2.LateReport) -> Report:
    """The report a message holds. What it says for people is cut, for a report has no answer that could refuse it.

    Raises ProtocolViolation for one that is large all the same.
    """
    said = fact_events_pb2.LateReported()
    said.CopyFrom(message.report)
    said.message = said.message.encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore")
    if said.ByteSize() > ENVELOPE_BYTES:
        raise ProtocolViolation(f"late_reports: has {said.ByteSize()} bytes; the limit is {ENVELOPE_BYTES}")
    return Report(RunId(message.run_id), instance(message.instance), said)


def _refused(batch: Batch, reason: execution_pb2.RefusalReason.ValueType, message: str) -> Refused:
    return Refused(batch.first_ordinal + len(batch.events), reason, message)


def _instance(message: Any) -> str:
    return _address(message.instance)


def _address(where: instances_pb2.Instance) -> str:
    """What is wrong with an address that would not be read again from its text; empty where nothing is."""
    if where.attempt > 0 and where.path:
        for step in where.path:
            if step.visit < 1 or step.item < 0 or NAME.fullmatch(step.node) is None:
                break
        else:
            return ""
    return "instance is not a whole address"


def _logged(message: Any) -> str:
    return _instance(message) if message.HasField("instance") else ""


def _started(message: Any) -> str:
    return _instance(message) or ("" if message.effect else "effect is missing")


def _settled(message: Any) -> str:
    fault = _instance(message)
    if fault or not message.effect or not message.outcome:
        return fault or "effect or outcome is missing"
    if (message.outcome in _WITHOUT_CAUSE) == bool(message.cause):
        return "cause and outcome contradict each other"
    return _line(message) or next(question_faults(message), "") or question_fault(message)


def _doubted(message: Any) -> str:
    return _instance(message) or _line(message)


def _wait_opened(message: Any) -> str:
    fault, asked = "", message.approval
    match message.WhichOneof("wait"):
        case None:
            fault = "wait is missing"
        case "approval":
            fault = approval_fault(asked) or deadline_fault(message)
        case "timer":
            if message.timer.HasField("until_time") == message.HasField("timeout"):
                fault = "timer lacks a moment, or has two"
        case "backoff":
            fault = "" if message.HasField("timeout") else "backoff lacks its time"
        case "signal":
            fault = "" if NAME.fullmatch(message.signal.name) else "signal lacks a name"
    return fault or _instance(message)


def _approval_voided(message: Any) -> str:
    if len(message.frozen_digest) != 32 or len(message.present_digest) not in (0, 32):
        return "a digest is missing"
    return _instance(message) or _line(message)


def _child_started(message: Any) -> str:
    if (
        not message.run_id
        or not message.playbook_id
        or len(message.plan_digest) != 32
        or len(message.input_digest) != 32
    ):
        return "a run id, a playbook or a digest is missing"
    if message.HasField("timeout") and message.timeout.ToMicroseconds() <= 0:
        return "its time limit is no time"
    if any(NAME.fullmatch(name) is None for name in (*message.labels, *filter(None, [message.queue]))):
        return "its queue or a label is no name"
    return _instance(message)


def _map_begun(message: Any) -> str:
    if not 0 <= message.count <= (MAX_LISTED if message.shard_size else MAX_ITEMS) or len(message.items_digest) != 32:
        return "a digest is missing, or there are too many items"
    if message.shard_size not in (0, MAX_ITEMS) or not 0 <= message.first_item < MAX_LISTED:
        return "its shards have another size, or begin outside of every list"
    if max(len(message.done), len(message.redos)) > message.count:
        return "more is left of it than it has items"
    return _instance(message)


def _ended(message: Any) -> str:
    fault = _address(message.failed) if message.HasField("failed") else ""
    return fault or _line(message) or ("" if message.state else "state is missing")


def _taken_up(message: Any) -> str:
    if message.sequence <= 0:
        return "sequence is missing"
    return _instance(message) if message.HasField("instance") else ""


def _jump_begun(message: Any) -> str:
    if message.target not in message.region:
        return "target is not in region"
    return _address(message.source) if message.HasField("source") else ""


def _choice_made(message: Any) -> str:
    if bool(message.target) == bool(message.cause):
        return "target and cause contradict each other"
    return _instance(message) or _line(message)


def _failure_taken(message: Any) -> str:
    if not message.cause or not (message.target or message.handler):
        return "cause is missing, or what takes it"
    return _instance(message)


def _line(message: Any) -> str:
    text = message.message
    too_long = bool(text) and len(text.encode()) > MAX_MESSAGE_BYTES
    return f"message is longer than {MAX_MESSAGE_BYTES} bytes" if too_long else ""


_CHECKS: Final[dict[str, Callable[[Any], str]]] = {
    "node_started": _started,
    "node_settled": _settled,
    "node_in_doubt": _doubted,
    "wait_opened": _wait_opened,
    "wait_closed": _instance,
    "approval_voided": _approval_voided,
    "fact_taken_up": _taken_up,
    "jump_begun": _jump_begun,
    "choice_made": _choice_made,
    "failure_taken": _failure_taken,
    "child_started": _child_started,
    "map_begun": _map_begun,
    "map_items": _instance,
    "run_ended": _ended,
    "node_output": _instance,
    "output_files": _instance,
    "task_output": _instance,
    "unit_content": _instance,
    "rendered_arguments": _instance,
    "wait_subject": _instance,
    "log_line": _logged,
}
