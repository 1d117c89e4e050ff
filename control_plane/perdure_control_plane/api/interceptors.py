"""What every call goes through: its caller, its scope, and the answer to whatever goes wrong with it."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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
from perdure_control_plane.api.doorkeeper import STRANGER, Doorkeeper
from perdure_control_plane.api.names import id_in, named_in
from perdure_control_plane.api.rates import UNLIMITED, Rates
from perdure_control_plane.api.status import internal_status, is_denial, status_of
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import (
    NotSupported,
    PerdureError,
    ProtocolViolation,
    RunStateForbids,
    ScopeMissing,
    TooLarge,
    Unauthenticated,
)
from perdure_control_plane.domain.roles import Scope
from perdure_control_plane.usecases.record_denials import Denials

log = structlog.get_logger(__name__)

_caller: ContextVar[Caller] = ContextVar("caller", default=OPEN_CALLER)

_denied: ContextVar[Callable[[Exception, Any], Awaitable[None]]] = ContextVar("denied")

REFUSED_WITHIN_SECONDS: Final = 1.0
"""How long a stream that is refused is listened to before its refusal is sent."""


def caller() -> Caller:
    """Who makes the call that is being served."""
    return _caller.get()


async def write_down_denial(error: Exception, request: Any) -> None:
    """Has an error written down where it is a denial, of a request in a call that answers all the same."""
    await _denied.get()(error, request)


def scopes_of(*services: ServiceDescriptor) -> dict[str, Scope]:
    """The scope that each RPC declares, by its path; an RPC that declares none is not there."""
    return {
        f"/{service.full_name}/{method.name}": _scope(method.GetOptions().Extensions[scopes_pb2.scope])
        for service in services
        for method in service.methods
        if method.GetOptions().Extensions[scopes_pb2.scope]
    }


def _scope(number: scopes_pb2.Scope.ValueType) -> Scope:
    return Scope(scopes_pb2.Scope.Name(number).removeprefix("SCOPE_"))


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Asks who calls, denies what they may not do, and turns every error into a status with one ErrorInfo."""

    def __init__(
        self,
        scopes: Mapping[str, Scope],
        unscoped: frozenset[str],
        max_request_bytes: int,
        doorkeeper: Doorkeeper,
        denials: Denials,
        rates: Rates = UNLIMITED,
    ) -> None:
        """`unscoped` are services that everybody may call: health and reflection."""
        self._scopes = scopes
        self._unscoped = unscoped
        self._max_request_bytes = max_request_bytes
        self._doorkeeper = doorkeeper
        self._denials = denials
        self._rates = rates

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
        guard = _Guard(method, self._scopes.get(method), self._doorkeeper, self._denials, self._rates)
        return self._wrapped(handler, guard)

    def _wrapped(self, handler: Any, guard: "_Guard") -> Any:
        reader = _reader(handler.request_deserializer)
        parts = {"request_deserializer": reader, "response_serializer": handler.response_serializer}
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary, guard, self._checked), **parts)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(_stream(handler.unary_stream, guard, self._checked), **parts)
        return grpc.stream_stream_rpc_method_handler(_stream(handler.stream_stream, guard, _readable), **parts)

    def _checked(self, request: Any) -> Any:
        """The request, when it may reach its servicer. The messages of a stream are checked one by one there."""
        _check_readable(request)
        if request.ByteSize() > self._max_request_bytes:
            raise TooLarge("request", request.ByteSize(), self._max_request_bytes)
        return request


class _Guard:
    """What stands before and behind one method: who may call it, and the answer where it cannot be served."""

    def __init__(
        self, method: str, scope: Scope | None, doorkeeper: Doorkeeper, denials: Denials, rates: Rates
    ) -> None:
        self._method = method
        self._scope = scope
        self._doorkeeper = doorkeeper
        self._denials = denials
        self._rates = rates

    async def let_in(self, context: Any) -> None:
        """Notes who calls. Raises Unauthenticated, CallRateReached, ScopeMissing, StoreUnavailable."""
        _caller.set(replace(STRANGER, peer=unquote(context.peer()), method=self._method))
        found = await self._doorkeeper.admit(context)
        _caller.set(replace(found, peer=unquote(context.peer()), method=self._method))
        _denied.set(self.write_down)
        self._rates.take(found.principal)
        if self._scope is None:
            raise ScopeMissing(self._method)
        if self._scope not in found.scopes:
            raise ScopeMissing(self._method, self._scope.value, found.role.value if found.role else "")

    @contextlib.asynccontextmanager
    async def still_good(self, context: Any) -> AsyncIterator[None]:
        """Ends what is done inside when its caller is good no longer. Raises Unauthenticated, StreamLimitReached."""
        with self._rates.stream(caller().principal):
            async with self._while_good(context):
                yield

    @contextlib.asynccontextmanager
    async def _while_good(self, context: Any) -> AsyncIterator[None]:
        stream = asyncio.current_task()
        if self._doorkeeper.is_open or stream is None:
            yield
            return
        void: list[Unauthenticated] = []

        async def look_again() -> None:
            void.append(await self._doorkeeper.void(context))
            stream.cancel()

        looking = asyncio.create_task(look_again())
        try:
            yield
        except asyncio.CancelledError:
            if not void:
                raise
            stream.uncancel()
            raise void[0] from None
        finally:
            looking.cancel()

    async def refuse(self, context: grpc.aio.ServicerContext[Any, Any], error: Exception, request: Any) -> None:
        """Answers with a status, and has a denial written down."""
        await self.write_down(error, request)
        await _abort(context, self._method, error)

    async def write_down(self, error: Exception, request: Any) -> None:
        """Has an error written down where it is a denial."""
        if isinstance(error, PerdureError) and is_denial(error):
            resource = error.metadata.get("approval", named_in(request))
            try:
                await self._denials.record(caller(), error.reason, resource, id_in(request))
            except Exception:  # the call is denied all the same, and it is counted until it can be written down
                log.exception("denial.postponed", method=self._method)


def _unary(behaviour: Any, guard: _Guard, checked: Callable[[Any], Any]) -> Any:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            await guard.let_in(context)
            return await behaviour(checked(request), context)
        except (grpc.aio.AbortError, grpc.aio.UsageError):
            raise
        except Exception as error:  # noqa: BLE001  # every error leaves as a status, and unknown ones are logged
            await guard.refuse(context, error, request)

    return call


def _stream(behaviour: Any, guard: _Guard, checked: Callable[[Any], Any]) -> Any:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            try:
                await guard.let_in(context)
            except PerdureError:
                await _hear_out(request)
                raise
            async with guard.still_good(context):
                async for response in behaviour(checked(request), context):
                    yield response
        except (grpc.aio.AbortError, grpc.aio.UsageError):
            raise
        except Exception as error:  # noqa: BLE001  # every error leaves as a status, and unknown ones are logged
            await guard.refuse(context, error, request)

    return call


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


async def _hear_out(request: Any) -> None:
    """Takes in the first message of a stream: a client that is refused while it sends reports that it could not send."""
    if hasattr(request, "__aiter__"):
        with contextlib.suppress(TimeoutError):  # whoever says nothing is refused all the same
            async with asyncio.timeout(REFUSED_WITHIN_SECONDS):
                await anext(aiter(request), None)


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
