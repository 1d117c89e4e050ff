"""What every call goes through: its scope, its caller, and the answer to whatever goes wrong with it."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from perdure.runlog.head import IllegalEvent
from perdure.v1 import scopes_pb2
from perdure_control_plane.api.status import internal_status, is_denial, status_of
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import (
    NotSupported,
    PerdureError,
    ProtocolViolation,
    RunStateForbids,
    ScopeMissing,
    TooLarge,
)
from perdure_control_plane.usecases.record_denials import Denials

log = structlog.get_logger(__name__)

_caller: ContextVar[Caller] = ContextVar("caller", default=OPEN_CALLER)

ALL_SCOPES: Final = frozenset(scopes_pb2.Scope.values()) - {scopes_pb2.SCOPE_UNSPECIFIED}
"""What a caller may do where the server runs open."""


def caller() -> Caller:
    """Who makes the call that is being served."""
    return _caller.get()


def scopes_of(*services: ServiceDescriptor) -> dict[str, scopes_pb2.Scope.ValueType]:
    """The scope that each RPC declares, by its path; an RPC that declares none is not there."""
    return {
        f"/{service.full_name}/{method.name}": method.GetOptions().Extensions[scopes_pb2.scope]
        for service in services
        for method in service.methods
        if method.GetOptions().HasExtension(scopes_pb2.scope)
    }


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Denies what declares no scope, and turns every error into a status with one ErrorInfo."""

    def __init__(
        self,
        scopes: dict[str, scopes_pb2.Scope.ValueType],
        unscoped: frozenset[str],
        max_request_bytes: int,
        denials: Denials,
    ) -> None:
        """`unscoped` are services that everybody may call: health and reflection."""
        self._scopes = scopes
        self._unscoped = unscoped
        self._max_request_bytes = max_request_bytes
        self._denials = denials

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return grpc.stream_stream_rpc_method_handler(_unknown(method))
        if method.split("/")[1] in self._unscoped:
            return handler
        check = self._check_of(method, streams=handler.request_streaming)
        return _wrapped(handler, _Guard(method, check, self._denials))

    def _check_of(self, method: str, *, streams: bool) -> Callable[[Any], None]:
        """What a request must pass before it reaches its servicer. The messages of a stream are checked one by one there."""
        allowed = self._scopes.get(method) in ALL_SCOPES

        def check(request: Any) -> None:
            if not allowed:
                raise ScopeMissing(method)
            if streams:
                return
            _check_readable(request)
            if request.ByteSize() > self._max_request_bytes:
                raise TooLarge("request", request.ByteSize(), self._max_request_bytes)

        return check


class Unreadable:
    """Stands for a request whose bytes are no message."""

    def __init__(self, error: DecodeError) -> None:
        self.error = error


def _reader(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(content: bytes) -> Any:
        try:
            return deserializer(content)
        except DecodeError as error:  # raised here, it would reach the caller without a reason
            return Unreadable(error)

    return read


def _check_readable(request: Any) -> None:
    if isinstance(request, Unreadable):
        raise ProtocolViolation(f"the request cannot be read: {request.error}") from request.error


async def _readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        _check_readable(request)
        yield request


class _Guard:
    """What stands before and behind one method: what a call must pass, and the answer where it cannot be served."""

    def __init__(self, method: str, check: Callable[[Any], None], denials: Denials) -> None:
        self._method = method
        self._check = check
        self._denials = denials

    def let_in(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Notes who calls. Raises what the request is refused for."""
        _caller.set(replace(_caller.get(), peer=unquote(context.peer()), method=self._method))
        self._check(request)

    async def refuse(self, context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> None:
        """Answers with a status, and has a denial written down."""
        if isinstance(error, PerdureError) and is_denial(error):
            try:
                await self._denials.record(caller(), error.reason, error.metadata.get("approval", ""))
            except Exception:  # the call is denied all the same, and it is counted until it can be written down
                log.exception("denial.postponed", method=self._method)
        await _abort(context, self._method, error)


def _wrapped(handler: Any, guard: _Guard) -> Any:
    reader = _reader(handler.request_deserializer)
    parts = {"request_deserializer": reader, "response_serializer": handler.response_serializer}
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary, guard), **parts)
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(_stream(handler.unary_stream, guard, streams=False), **parts)
    return grpc.stream_stream_rpc_method_handler(_stream(handler.stream_stream, guard, streams=True), **parts)


def _unary(behaviour: Any, guard: _Guard) -> Any:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            guard.let_in(request, context)
            return await behaviour(request, context)
        except (grpc.aio.AbortError, grpc.aio.UsageError):
            raise
        except Exception as error:  # noqa: BLE001  # every error leaves as a status, and unknown ones are logged
            await guard.refuse(context, error)

    return call


def _stream(behaviour: Any, guard: _Guard, *, streams: bool) -> Any:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            guard.let_in(request, context)
            readable = _readable(request) if streams else request
            async for response in behaviour(readable, context):
                yield response
        except (grpc.aio.AbortError, grpc.aio.UsageError):
            raise
        except Exception as error:  # noqa: BLE001  # every error leaves as a status, and unknown ones are logged
            await guard.refuse(context, error)

    return call


def _unknown(method: str) -> Any:
    async def call(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        # A client that is refused while it sends reports its own failure to send, and not the refusal.
        await anext(aiter(requests), None)
        await _abort(context, method, NotSupported(method))

    return call


async def _abort(context: grpc.aio.ServicerContext[Any, Any], method: str, error: Exception) -> None:
    if isinstance(error, IllegalEvent):
        error = RunStateForbids("the run", "in another state", str(error))
    if isinstance(error, PerdureError):
        log.info("call.refused", method=method, reason=error.reason)
        await context.abort_with_status(rpc_status.to_status(status_of(error)))
    request_id = uuid.uuid4().hex
    log.error("call.failed", method=method, request=request_id, exc_info=error)
    await context.abort_with_status(rpc_status.to_status(internal_status(request_id)))
