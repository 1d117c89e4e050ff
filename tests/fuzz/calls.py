"""Calls over a real connection, byte by byte, and what is wrong with an answer, whatever was asked."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from perdure.v1 import errors_pb2
from perdure_control_plane.api.mount import SERVICES

METHODS: Final[dict[str, MethodDescriptor]] = {
    f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods
}
"""Every call that there is, by its path."""
LONGEST_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 0.15
"""A stream that follows something, and has said what there is, is followed for so long."""
OPEN: Final = "OPEN"
"""Stands for the code of a stream that would have gone on."""
ANSWERS: Final = frozenset({
    "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "PERMISSION_DENIED", "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED", "ABORTED", "UNIMPLEMENTED", "OUT_OF_RANGE",
})  # fmt: skip
"""Codes that say what the caller did. Every other one says that the server failed."""
_REASONS: Final = frozenset(errors_pb2.ErrorReason.keys())
UNLIMITED: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    code: str
    reason: str = ""
    messages: tuple[bytes, ...] = ()
    fault: str = ""
    """What no server should answer; empty for any answer that it may."""

    @property
    def word(self) -> str:
        """What it is counted as."""
        return self.reason or self.code


class Line:
    """A connection to a server."""

    def __init__(self, address: str) -> None:
        self.channel: Final = grpc.insecure_channel(address, options=UNLIMITED)

    def close(self) -> None:
        """Ends it."""
        self.channel.close()

    def ask(self, path: str, requests: Iterable[bytes], metadata: Iterable[tuple[str, str]]) -> Answer:
        """Makes a call as its method is declared; one that is not, as a stream of streams."""
        method = METHODS.get(path)
        begun = time.monotonic()
        sent = list(requests)
        try:
            messages = self._answers(path, method, sent, tuple(metadata))
        except grpc.RpcError as error:
            return refusal(error, time.monotonic() - begun)
        except ValueError as error:
            return Answer("NOT_SENT", str(type(error).__name__))
        seconds = time.monotonic() - begun
        followed = method is not None and method.server_streaming
        late = seconds > LONGEST_SECONDS and not followed
        fault = f"answered after {seconds:.1f} s" if late else _unreadable(method, messages)
        return Answer(OPEN if followed else "OK", "", tuple(messages), fault)

    def _answers(
        self, path: str, method: MethodDescriptor | None, sent: list[bytes], metadata: tuple[tuple[str, str], ...]
    ) -> list[bytes]:
        streams_in = method is None or method.client_streaming
        streams_out = method is None or method.server_streaming
        if not streams_in and not streams_out:
            answer: bytes = self.channel.unary_unary(path)(sent[0], metadata=metadata, timeout=LONGEST_SECONDS)
            return [answer]
        follows = method is not None and method.name.startswith("Watch")
        seconds = WATCH_SECONDS if follows else LONGEST_SECONDS
        if streams_in:
            call = self.channel.stream_stream(path)(iter(sent), metadata=metadata, timeout=seconds)
        else:
            call = self.channel.unary_stream(path)(sent[0], metadata=metadata, timeout=seconds)
        return _taken(call, follows)


def _taken(call: Any, follows: bool) -> list[bytes]:
    """What a stream has said until it ended, or until somebody has heard enough of it."""
    messages: list[bytes] = []
    try:
        messages.extend(call)
    except grpc.RpcError as error:
        if not ((follows or messages) and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED):  # type: ignore[attr-defined]
            raise
    return messages


def refusal(error: Any, seconds: float) -> Answer:
    """What a refused call says, and what is wrong with that."""
    code = error.code().name
    if code not in ANSWERS:
        return Answer(code, _reason_in(error), fault=f"{code} after {seconds:.1f} s: {error.details()}")
    reason = _reason_in(error)
    if f"ERROR_REASON_{reason}" not in _REASONS:
        return Answer(code, reason, fault=f"{code} without a reason of ours: {error.details()}")
    if reason in ("INTERNAL", "DATA_CORRUPT", "STORE_UNAVAILABLE") or not error.details():
        return Answer(code, reason, fault=f"{code} with the reason {reason}: {error.details()!r}")
    if seconds > LONGEST_SECONDS:
        return Answer(code, reason, fault=f"{reason} after {seconds:.1f} s")
    return Answer(code, reason)


def _reason_in(error: Any) -> str:
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        return ""
    found = []
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == "perdure":
            found.append(info.reason)
    return found[0] if len(found) == 1 else ""


def _unreadable(method: MethodDescriptor | None, messages: Iterable[bytes]) -> str:
    if method is None:
        return "a call that does not exist was answered"
    for message in messages:
        try:
            GetMessageClass(method.output_type).FromString(message)
        except DecodeError as error:
            return f"the answer cannot be read: {error}"
    return ""
