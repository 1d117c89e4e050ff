"""What a call raises.

Exception
└── CallFailed    the server refused the call, or could not be reached; branch on `reason`, else on `code`
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2
from grpc_status import rpc_status

DOMAIN: Final = "perdure"
"""Domain of the one ErrorInfo that every answer of a control plane carries."""

_BROKEN: Final = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
"""Codes with which a proxy or the transport breaks a stream off; a control plane gives a reason with each."""


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One thing that is wrong with one field. `field` is its path in the request, or in the document."""

    field: str
    description: str


class CallFailed(Exception):
    """A call came back with an error.

    `reason` is a name of `ErrorReason` without its prefix, such as `NOT_FOUND`, and empty where no control plane
    answered. `metadata` has what the reason's comment in `errors.proto` names, `faults` what is wrong with single
    fields, and `retry_delay` is set where the same call may succeed after it.
    """

    def __init__(self, code: grpc.StatusCode, message: str, details: Iterable[AnyMessage] = ()) -> None:
        info, request, retry = _read(details)
        ours = info.domain == DOMAIN
        self.code: Final = code
        self.message: Final = message
        self.reason: Final[str] = info.reason if ours else ""
        self.metadata: Final[Mapping[str, str]] = MappingProxyType(dict(info.metadata) if ours else {})
        self.faults: Final = tuple(FieldFault(fault.field, fault.description) for fault in request.field_violations)
        self.retry_delay: Final[timedelta | None] = retry.retry_delay.ToTimedelta() if retry is not None else None
        super().__init__(f"{self.reason or code.name}: {message}")

    @property
    def lost(self) -> bool:
        """Whether it was the connection, or a server that is ending, and not the request: it may be tried again."""
        unexplained = not self.reason and self.code in _BROKEN
        return self.code is grpc.StatusCode.UNAVAILABLE or self.retry_delay is not None or unexplained


def call_failed(error: grpc.aio.AioRpcError) -> CallFailed:
    """The exception for a status."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        # The details belong to another status than the one that arrived: a proxy has replaced it.
        status = None
    return CallFailed(error.code(), error.details() or "", status.details if status is not None else ())


def _read(
    details: Iterable[AnyMessage],
) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo | None]:
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), None
    for detail in details:
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
        for wanted in (info, request, retry):
            if wanted is not None and detail.Is(wanted.DESCRIPTOR):
                detail.Unpack(wanted)
    return info, request, retry
