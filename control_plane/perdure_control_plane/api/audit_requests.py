"""Requests for audit events, checked."""

from google.protobuf.timestamp_pb2 import Timestamp

from perdure.audit.events import AuditType
from perdure.v1 import audit_pb2
from perdure_control_plane.api.requests import line
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.domain.queries import AuditFilter

MAX_TYPES = 100


def audit_filter(request: audit_pb2.ListAuditEventsRequest) -> AuditFilter:
    """What a list is narrowed to. Raises FieldInvalid."""
    if len(request.types) > MAX_TYPES:
        raise field_invalid("types", f"has {len(request.types)} types; the limit is {MAX_TYPES}")
    return AuditFilter(
        types=tuple(_type(word, index) for index, word in enumerate(request.types)),
        principal=line(request.principal, "principal"),
        resource=line(request.resource, "resource"),
        start_at=_micros(request.start_time, "start_time") if request.HasField("start_time") else None,
        end_at=_micros(request.end_time, "end_time") if request.HasField("end_time") else None,
    )


def _type(word: str, index: int) -> AuditType:
    try:
        return AuditType(word)
    except ValueError as error:
        raise field_invalid(f"types[{index}]", f"is one of {', '.join(AuditType)}") from error


def _micros(time: Timestamp, field: str) -> int:
    try:
        time.ToDatetime()
    except (ValueError, OverflowError) as error:
        raise field_invalid(field, "is from the year 1 to 9999") from error
    return time.ToMicroseconds()
