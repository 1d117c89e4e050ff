"""Requests as commands: what fields hold, checked, in the words of the use cases."""

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.struct_pb2 import Struct

from perdure.runlog.instances import Instance, parse_instance
from perdure.runlog.json_objects import JsonObject
from perdure.runlog.states import run_state
from perdure.v1 import (
    fact_events_pb2,
    flows_pb2,
    playbooks_pb2,
    run_inbox_pb2,
    run_states_pb2,
    runs_pb2,
)
from perdure_control_plane.api import names
from perdure_control_plane.domain.errors import FieldFault, FieldInvalid, TooLarge, field_invalid
from perdure_control_plane.domain.flow import RequestSource
from perdure_control_plane.domain.ids import FlowId, RunId
from perdure_control_plane.domain.limits import SECOND, Limits
from perdure_control_plane.domain.playbook import Evidence, Publication
from perdure_control_plane.domain.queries import FlowFilter, RunCondition, RunFilter
from perdure_control_plane.usecases.continue_run import Continuing
from perdure_control_plane.usecases.hold_flow import HoldingFlow
from perdure_control_plane.usecases.publish_playbook_version import Publishing
from perdure_control_plane.usecases.resolve_effect import Resolution
from perdure_control_plane.usecases.revoke_playbook_version import Revoking
from perdure_control_plane.usecases.signal_run import Signalling
from perdure_control_plane.usecases.start_flow import Start

MAX_LINE_BYTES = 1024
MAX_EVIDENCE = 100
MAX_EXTRA_ATTEMPTS = 100
MAX_TIMEOUT_MICROS = 365 * 24 * 3600 * SECOND
PRIORITIES = range(-100, 101)
MAX_LABELS = 20
DEFAULT_QUEUE = "default"
_EVIDENCE_FIELDS = ("kind", "id", "description")


def document(message: playbooks_pb2.PlaybookDocument, limits: Limits) -> bytes:
    """A manifest's text. Raises FieldInvalid, TooLarge."""
    if not message.text:
        raise field_invalid("document.text", "is required")
    if len(message.text) > limits.max_manifest_bytes:
        raise TooLarge("document.text", len(message.text), limits.max_manifest_bytes)
    return message.text


def publishing(request: playbooks_pb2.PublishPlaybookVersionRequest) -> Publishing:
    """What is to be published. Raises FieldInvalid."""
    playbook, version = names.playbook_version(request.name)
    asked = request.publication or playbooks_pb2.PUBLICATION_ACTIVE
    publication = Publication(word(playbooks_pb2.Publication, asked, "publication"))
    supporting = evidence(request.evidence)
    return Publishing(playbook, version, request.digest, publication, supporting, request_id(request.request_id))


def revoking(request: playbooks_pb2.RevokePlaybookVersionRequest) -> Revoking:
    """What is to be revoked. Raises FieldInvalid."""
    playbook, version = names.playbook_version(request.name)
    supporting, used = evidence(request.evidence), request_id(request.request_id)
    return Revoking(playbook, version, request.digest, reason(request.reason), supporting, used)


def evidence(messages: Iterable[playbooks_pb2.Evidence]) -> tuple[Evidence, ...]:
    """References to evidence. Raises FieldInvalid where one has no kind or id, or there are too many."""
    references: list[Evidence] = []
    for index, message in enumerate(messages):
        if index == MAX_EVIDENCE:
            raise field_invalid("evidence", f"has more than {MAX_EVIDENCE} references")
        for field in ("kind", "id"):
            if not getattr(message, field):
                raise field_invalid(f"evidence[{index}].{field}", "is required")
        parts = {field: line(getattr(message, field), f"evidence[{index}].{field}") for field in _EVIDENCE_FIELDS}
        references.append(Evidence(**parts))
    return tuple(references)


def start(request: flows_pb2.StartFlowRequest) -> Start:
    """What is to be started. Raises FieldInvalid with every missing field at once."""
    missing = [
        FieldFault(field, "is required")
        for field in ("playbook_version", "digest", "session", "idempotency_key")
        if not getattr(request, field)
    ]
    if missing:
        raise FieldInvalid(*missing)
    playbook, version = names.playbook_version(request.playbook_version, "playbook_version")
    if request.priority not in PRIORITIES:
        raise field_invalid("priority", "is from -100 to 100")
    return Start(
        playbook_id=playbook,
        version=version,
        digest=request.digest,
        session_id=names.session_id(request.session, "session"),
        idempotency_key=names.chosen_id(request.idempotency_key, "idempotency_key"),
        flow_id=FlowId(names.chosen_id(request.flow_id, "flow_id")) if request.flow_id else None,
        content=request.request.content,
        input=request.request.input,
        metadata=metadata(request.request.metadata),
        provider=request.request.provider,
        source=source(request.request.source),
        queue=names.chosen_id(request.queue, "queue") if request.queue else DEFAULT_QUEUE,
        priority=request.priority,
        timeout_micros=positive_micros(request.timeout, "timeout") if request.HasField("timeout") else 0,
        labels=_labels(request.labels),
    )


def _labels(given: Sequence[str]) -> tuple[str, ...]:
    if len(given) > MAX_LABELS:
        raise field_invalid("labels", f"has {len(given)} labels; the limit is {MAX_LABELS}")
    return tuple(sorted({names.chosen_id(label, f"labels[{index}]") for index, label in enumerate(given)}))


def metadata(message: Struct) -> JsonObject:
    """What a caller wants kept with its flow. Raises FieldInvalid where JSON has no such value."""
    try:
        return MessageToDict(message)
    except (SerializeToJsonError, ValueError) as error:
        raise field_invalid("request.metadata", str(error)) from error


def source(message: flows_pb2.RequestSource) -> RequestSource:
    """Where a request says that it came from. Raises FieldInvalid."""
    fields = ("source_plugin", "source_kind", "actor_id")
    return RequestSource(*(line(getattr(message, field), f"request.source.{field}") for field in fields))


def continuing(request: runs_pb2.ContinueRunRequest) -> Continuing:
    """What is to go on. Raises FieldInvalid."""
    if request.answers_sequence < 1:
        raise field_invalid("answers_sequence", "is required: the sequence of the end, or hold, that this answers")
    if not 0 <= request.extra_attempts <= MAX_EXTRA_ATTEMPTS:
        raise field_invalid("extra_attempts", f"is from 0 to {MAX_EXTRA_ATTEMPTS}")
    reopen = str(instance(request.reopen, "reopen")) if request.reopen else ""
    return Continuing(
        run_id=names.run_id(request.name),
        answers_sequence=request.answers_sequence,
        reopen=reopen,
        extra_attempts=request.extra_attempts,
        timeout_micros=positive_micros(request.timeout, "timeout") if request.HasField("timeout") else 0,
        reason=reason(request.reason),
        request_id=request_id(request.request_id),
    )


def control(
    request: runs_pb2.PauseRunRequest
    | runs_pb2.ResumeRunRequest
    | runs_pb2.InterruptRunRequest
    | runs_pb2.CancelRunRequest,
) -> tuple[RunId, str, str]:
    """Which run is held, released or stopped, why, and the request's id. Raises FieldInvalid."""
    return names.run_id(request.name), reason(request.reason), request_id(request.request_id)


def resolution(request: runs_pb2.ResolveEffectRequest) -> Resolution:
    """What an operator says. Raises FieldInvalid."""
    if request.resolution:
        word(fact_events_pb2.ResolutionKind, request.resolution, "resolution")
    return Resolution(
        run_id=names.run_id(request.name),
        instance=instance(request.instance, "instance"),
        kind=request.resolution,
        output=request.output,
        report_sequence=sequence(request.report_sequence, "report_sequence"),
        reason=reason(request.reason),
        request_id=request_id(request.request_id),
    )


def signalling(request: run_inbox_pb2.SignalRunRequest) -> Signalling:
    """A signal. Raises FieldInvalid."""
    signal = names.chosen_id(request.signal, "signal")
    return Signalling(names.run_id(request.name), signal, request.payload, request_id(request.request_id))


def run_filter(request: runs_pb2.ListRunsRequest) -> RunFilter:
    """Which runs. Raises FieldInvalid."""
    if run_states_pb2.RUN_STATE_UNSPECIFIED in request.states:
        raise field_invalid("states", "holds the unspecified state; leave the list empty for any")
    if runs_pb2.RUN_CONDITION_UNSPECIFIED in request.conditions:
        raise field_invalid("conditions", "holds the unspecified condition; leave the list empty for any")
    for state in request.states:
        word(run_states_pb2.RunState, state, "states")
    return RunFilter(
        states=tuple(run_state(state) for state in request.states),
        flow_id=names.flow_id(request.flow, "flow") if request.flow else None,
        session_id=names.session_id(request.session, "session") if request.session else None,
        playbook_id=names.playbook_id(request.playbook, "playbook") if request.playbook else None,
        parent_run_id=names.run_id(request.parent_run, "parent_run") if request.parent_run else None,
        conditions=tuple(
            RunCondition(word(runs_pb2.RunCondition, condition, "conditions")) for condition in request.conditions
        ),
    )


def holding_flow(request: flows_pb2.PauseFlowRequest | flows_pb2.ResumeFlowRequest) -> HoldingFlow:
    """Which flow is held or released. Raises FieldInvalid."""
    return HoldingFlow(names.flow_id(request.name), reason(request.reason), request_id(request.request_id))


def flow_filter(request: flows_pb2.ListFlowsRequest) -> FlowFilter:
    """Which flows. Raises FieldInvalid."""
    return FlowFilter(
        session_id=names.session_id(request.session, "session") if request.session else None,
        playbook_id=names.playbook_id(request.playbook, "playbook") if request.playbook else None,
    )


def instance(text: str, field: str) -> Instance:
    """An attempt, from its text. Raises FieldInvalid."""
    try:
        return parse_instance(text)
    except ValueError as error:
        raise field_invalid(field, str(error)) from error


def reason(text: str) -> str:
    """Why, as a caller wrote it. Raises FieldInvalid where it is too long."""
    return line(text, "reason")


def line(text: str, field: str) -> str:
    """A short text. Raises FieldInvalid where it is too long."""
    if len(text.encode()) > MAX_LINE_BYTES:
        raise field_invalid(field, f"is longer than {MAX_LINE_BYTES} bytes")
    return text


def sequence(number: int, field: str) -> int:
    """A position in a log, 0 before its first event. Raises FieldInvalid where it is negative."""
    if number < 0:
        raise field_invalid(field, "is negative")
    return number


def cursors(messages: Iterable[flows_pb2.RunCursor]) -> dict[RunId, int]:
    """The last sequence that was received of each run. Raises FieldInvalid."""
    found: dict[RunId, int] = {}
    for index, cursor in enumerate(messages):
        run = names.run_id(cursor.run, f"cursors[{index}].run")
        found[run] = sequence(cursor.sequence, f"cursors[{index}].sequence")
    return found


def request_id(value: str) -> str:
    """A request id, or empty. Raises FieldInvalid."""
    return names.chosen_id(value, "request_id") if value else ""


def word(enum: Any, number: int, field: str) -> str:
    """An enum's value as the domain has it: its name without the enum's. Raises FieldInvalid for one that is unknown."""
    if number not in enum.values():
        raise field_invalid(field, f"{number} is unknown to this server")
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    return str(enum.Name(number)).removeprefix(prefix)


def positive_micros(value: Duration, field: str) -> int:
    """A duration in microseconds. Raises FieldInvalid where it is not positive, or longer than a year."""
    micros = value.ToMicroseconds()
    if not 0 < micros <= MAX_TIMEOUT_MICROS:
        raise field_invalid(field, "is not positive" if micros <= 0 else "is longer than 365 days")
    return micros
