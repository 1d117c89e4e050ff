"""What each refusal is on the wire: the one table from exceptions to status codes."""

from collections.abc import Sequence
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from perdure.v1 import errors_pb2
from perdure_control_plane.domain import errors
from perdure_control_plane.domain.errors import FieldFault, PerdureError

DOMAIN: Final = "perdure"

MESSAGE_BYTES: Final = 400
"""Longest line for people, and longest text of metadata or of a fault; what is longer is cut."""

FAULTS_BYTES: Final = 2048
"""Size at which an error names no further fault. A status travels in the trailers of a call, and clients
refuse trailers that are larger than 8 KiB: without their status."""

CODES: Final[dict[type[PerdureError], tuple[grpc.StatusCode, float | None]]] = {
    errors.FieldInvalid: (grpc.StatusCode.INVALID_ARGUMENT, None),
    errors.PageTokenInvalid: (grpc.StatusCode.INVALID_ARGUMENT, None),
    errors.ResumeTokenExpired: (grpc.StatusCode.OUT_OF_RANGE, None),
    errors.PlaybookInvalid: (grpc.StatusCode.INVALID_ARGUMENT, None),
    errors.DecisionNotAllowed: (grpc.StatusCode.INVALID_ARGUMENT, None),
    errors.ProtocolViolation: (grpc.StatusCode.INVALID_ARGUMENT, None),
    errors.NotSupported: (grpc.StatusCode.UNIMPLEMENTED, None),
    errors.NotFound: (grpc.StatusCode.NOT_FOUND, None),
    errors.Deleted: (grpc.StatusCode.NOT_FOUND, None),
    errors.AlreadyExists: (grpc.StatusCode.ALREADY_EXISTS, None),
    errors.RequestIdReused: (grpc.StatusCode.ALREADY_EXISTS, None),
    errors.VersionExists: (grpc.StatusCode.ALREADY_EXISTS, None),
    errors.DigestMismatch: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.PublicationForbids: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.PolicyForbids: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.EvidenceUnresolved: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.ProviderNotConfigured: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.RunStateForbids: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.StopStands: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.AnswerStale: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.ContinueNeeds: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.ParentDoesNotWait: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.NotHeld: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.NotInDoubt: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.ReportUnseen: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.EffectMayRun: (grpc.StatusCode.FAILED_PRECONDITION, 1.0),
    errors.ApprovalClosed: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.ApprovalDecided: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.ApprovalVoted: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.NotRequester: (grpc.StatusCode.PERMISSION_DENIED, None),
    errors.RemarksFull: (grpc.StatusCode.RESOURCE_EXHAUSTED, None),
    errors.VersionUnsupported: (grpc.StatusCode.FAILED_PRECONDITION, None),
    errors.TokenMismatch: (grpc.StatusCode.PERMISSION_DENIED, None),
    errors.DeciderNotAllowed: (grpc.StatusCode.PERMISSION_DENIED, None),
    errors.Unauthenticated: (grpc.StatusCode.UNAUTHENTICATED, None),
    errors.ScopeMissing: (grpc.StatusCode.PERMISSION_DENIED, None),
    errors.TooLarge: (grpc.StatusCode.RESOURCE_EXHAUSTED, None),
    errors.InboxFull: (grpc.StatusCode.RESOURCE_EXHAUSTED, None),
    errors.ConcurrencyLimitReached: (grpc.StatusCode.RESOURCE_EXHAUSTED, 30.0),
    errors.CallRateReached: (grpc.StatusCode.RESOURCE_EXHAUSTED, 1.0),
    errors.StreamLimitReached: (grpc.StatusCode.RESOURCE_EXHAUSTED, 1.0),
    errors.QueueFull: (grpc.StatusCode.RESOURCE_EXHAUSTED, 1.0),
    errors.Conflict: (grpc.StatusCode.ABORTED, 0.05),
    errors.ServerDraining: (grpc.StatusCode.UNAVAILABLE, 1.0),
    errors.StoreUnavailable: (grpc.StatusCode.UNAVAILABLE, 1.0),
    errors.DataCorrupt: (grpc.StatusCode.DATA_LOSS, None),
}
"""Status code of each refusal, and the seconds after which a repetition may help."""


def status_of(error: PerdureError) -> status_pb2.Status:
    """The status of a refusal: one ErrorInfo, a BadRequest for faults of fields, a RetryInfo where a retry helps."""
    code, usual = CODES[type(error)]
    retry_seconds = usual if error.retry_seconds is None else error.retry_seconds
    errors_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}")  # a reason that is not published is a program error
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason, domain=DOMAIN, metadata={key: _cut(value) for key, value in error.metadata.items()}
        )
    ]
    if error.faults:
        details.append(_bad_request(error.faults))
    if retry_seconds is not None:
        delay = Duration()
        delay.FromMicroseconds(round(retry_seconds * 1e6))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(code, _cut(str(error)), details)


def is_denial(error: PerdureError) -> bool:
    """Whether a refusal says that the caller may not, rather than that it cannot be."""
    return CODES[type(error)][0] in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


def internal_status(request_id: str) -> status_pb2.Status:
    """The status of a program error: no detail but the id under which the server's log has it."""
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"request_id": request_id})
    message = f"the server made an error; its log has it under request {request_id}"
    return _status(grpc.StatusCode.INTERNAL, message, [info])


def _bad_request(faults: Sequence[FieldFault]) -> error_details_pb2.BadRequest:
    message = error_details_pb2.BadRequest()
    for fault in faults:
        message.field_violations.add(field=_cut(fault.field), description=_cut(fault.description))
        if message.ByteSize() > FAULTS_BYTES:
            break
    return message


def _cut(text: str) -> str:
    content = text.encode("utf-8", "replace")
    if len(content) <= MESSAGE_BYTES:
        return content.decode("utf-8", "replace")
    return content[:MESSAGE_BYTES].decode("utf-8", "ignore") + "…"


def _status(code: grpc.StatusCode, message: str, details: list[Message]) -> status_pb2.Status:
    packed = []
    for detail in details:
        any_message = AnyMessage()
        any_message.Pack(detail)
        packed.append(any_message)
    return status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message, details=packed)
