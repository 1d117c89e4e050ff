"""What every call goes through: a deadline, a request id, and one exception for whatever goes wrong.

It wraps the channel, so that the generated stubs, and their types, stay as they are.
"""

import copy
from collections.abc import AsyncIterator, Callable, Generator
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio

from perdure.client.errors import call_failed
from perdure.encryption.codec import Codec
from perdure.encryption.messages import sealed_request
from perdure.keys import Metadata

_REQUEST_ID: Final = "request_id"


class CheckedChannel(grpc.aio.Channel):
    """A channel whose calls have deadlines and request ids, say who calls, encrypt what they give, and raise CallFailed."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        deadline: timedelta,
        new_request_id: Callable[[], str],
        metadata: Metadata = (),
        codec: Codec | None = None,
    ) -> None:
        self._codec = codec or Codec()
        self._metadata = metadata
        self._channel = channel
        self._deadline = deadline
        self._new_request_id = new_request_id

    def unary_unary(self, *method: Any, **serializers: Any) -> Any:
        """A method with one answer."""
        call = self._channel.unary_unary(*method, **serializers)
        return _UnaryMethod(self._saying_who(call), self._deadline, self._new_request_id, self._codec)

    def unary_stream(self, *method: Any, **serializers: Any) -> Any:
        """A method that answers with a stream; it has no deadline unless the caller sets one."""
        call = self._saying_who(self._channel.unary_stream(*method, **serializers))
        return lambda request, **options: _StreamCall(call(request, **options))

    def stream_unary(self, *method: Any, **serializers: Any) -> Any:
        """A method that is sent a stream, as it is."""
        return self._channel.stream_unary(*method, **serializers)

    def stream_stream(self, *method: Any, **serializers: Any) -> Any:
        """A method with streams both ways, as it is."""
        return self._channel.stream_stream(*method, **serializers)

    async def close(self, grace: float | None = None) -> None:
        """Ends every call after a grace."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Whether it is connected."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until `get_state` says something else."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until it is connected."""
        await self._channel.channel_ready()

    def _saying_who(self, method: Any) -> Any:
        def call(request: Any, *, metadata: Any = (), **options: Any) -> Any:
            return method(request, metadata=(*self._metadata, *metadata), **options)

        return call

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class _UnaryMethod:
    """Calls one method with one answer."""

    def __init__(self, method: Any, deadline: timedelta, new_request_id: Callable[[], str], codec: Codec) -> None:
        self._codec = codec
        self._method = method
        self._deadline = deadline.total_seconds()
        self._new_request_id = new_request_id

    def __call__(self, request: Any, *, timeout: float | None = None, **options: Any) -> "_UnaryCall":
        identified = self._identified(sealed_request(request, self._codec))
        return _UnaryCall(self._method(identified, timeout=self._deadline if timeout is None else timeout, **options))

    def _identified(self, request: Any) -> Any:
        """The request with an id of its own where it can have one and has none, so that a repetition does nothing."""
        if _REQUEST_ID not in request.DESCRIPTOR.fields_by_name or request.request_id:
            return request
        identified = copy.deepcopy(request)
        identified.request_id = self._new_request_id()
        return identified


class _UnaryCall:
    """A call under way; beside its answer it is the call that gRPC made."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __await__(self) -> Generator[None, None, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.aio.AioRpcError as error:
            raise call_failed(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class _StreamCall:
    """A stream under way; beside its items it is the call that gRPC made."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for item in self._call:
                yield item
        except grpc.aio.AioRpcError as error:
            raise call_failed(error) from error

    async def read(self) -> Any:
        """The next item, or `grpc.aio.EOF`."""
        try:
            return await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise call_failed(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
