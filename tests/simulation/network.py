"""The network between executors and control planes: streams whose messages take time, and that break.

Each side learns of a break at a time of its own. What was on its way may still arrive at the side that does not know yet.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import grpc
import grpc.aio

from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure_control_plane.domain.errors import PerdureError
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.record import Record

KEEPALIVE_SECONDS: Final = 4.0
"""How long a side at most waits for a peer that is gone without a word."""

Serve = Callable[[AsyncIterator[WorkRequest]], AsyncIterator[WorkResponse]]


class Network:
    """What delays, loses, repeats and swaps."""

    def __init__(self, loop: SimulatedLoop, record: Record, chance: random.Random) -> None:
        self.rate = 0.0
        """How likely a message meets a fault."""
        self.loop: Final = loop
        self.record: Final = record
        self.chance: Final = chance
        self.streams: Final[list[Stream]] = []
        self._cut: set[tuple[str, str]] = set()

    def latency(self) -> float:
        """Seconds that a message takes."""
        return 0.0002 + 0.03 * self.chance.random() ** 6

    def partition(self, one: str, other: str) -> None:
        """Cuts two machines off from each other."""
        self._cut.add((one, other))

    def heal(self) -> None:
        """Ends every partition."""
        self._cut.clear()
        for stream in self.streams:
            stream.flow_on()

    def is_cut(self, one: str, other: str) -> bool:
        """Whether nothing passes between two machines."""
        return (one, other) in self._cut or (other, one) in self._cut

    def break_streams_of(self, process: Process) -> None:
        """A process is gone: its machine says so to its peers, or says nothing."""
        for stream in self.streams:
            if process in (stream.client, stream.server) and not stream.broken:
                stream.break_off(KEEPALIVE_SECONDS if self.chance.random() < 0.3 else 0.05)

    def connected(self) -> "list[Stream]":
        """Streams that go on, as far as both sides know."""
        self.streams[:] = [stream for stream in self.streams if not stream.over]
        return [stream for stream in self.streams if not stream.broken]


class Direction:
    """One direction of a stream: messages in order, each with the time at which it arrives."""

    def __init__(self, network: Network, to: Process, kind: Any) -> None:
        self._network = network
        self._to = to
        self._kind = kind
        self._arrived: deque[bytes] = deque()
        self._held: list[bytes] = []
        self._last = 0.0
        self._ended = False
        self._changed = asyncio.Event()
        self.cut = False

    def send(self, message: Any) -> None:
        """Puts a message on its way."""
        self._put(message.SerializeToString())

    def _put(self, data: bytes) -> None:
        if self.cut:
            self._held.append(data)
            return
        network = self._network
        self._last = max(self._last, network.loop.time() + network.latency())
        self._to.after(self._last - network.loop.time(), self._arrive, data)

    def flow_on(self) -> None:
        """Lets what was held by a partition go on."""
        self.cut, held = False, self._held
        self._held = []
        for data in held:
            self._put(data)

    def _arrive(self, data: bytes) -> None:
        if not self._ended:
            self._arrived.append(data)
            self._changed.set()

    def end(self) -> None:
        """Nothing arrives any more."""
        self._ended = True
        self._changed.set()

    async def receive(self) -> Any:
        """The next message; None at the end."""
        while not self._arrived:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._kind.FromString(self._arrived.popleft())


class Stream:
    """One call of Work, with its two ends."""

    def __init__(self, network: Network, client: Process, server: Process, serve: Serve) -> None:
        self.client: Final = client
        self.server: Final = server
        self.broken = False
        self.over = False
        self._network = network
        self._serve = serve
        self._requests = Direction(network, server, WorkRequest)
        self._responses = Direction(network, client, WorkResponse)
        self.status: grpc.StatusCode | None = None
        self._finished = asyncio.Event()
        self._serving: asyncio.Task[Any] | None = None
        server.after(network.latency(), self._begin)
        network.streams.append(self)

    def _begin(self) -> None:
        if not self.broken:
            self._serving = self.server.spawn(self._respond())

    async def _respond(self) -> None:
        status = grpc.StatusCode.OK
        responses = self._serve(self._incoming())
        try:
            async for response in responses:
                self._say(response)
        except PerdureError as error:
            self._network.record.step(self.server.name, "stream refused", reason=error.reason)
            status = grpc.StatusCode.UNAVAILABLE
        except asyncio.CancelledError:
            await responses.aclose()
            raise
        except Exception as error:  # noqa: BLE001  # what the interceptor would answer with INTERNAL
            self._network.record.broken.append(f"{self.server.name}: a stream ended with {error!r}")
            status = grpc.StatusCode.INTERNAL
        self.client.after(self._network.latency() + 0.03, self.finish, status)

    async def _incoming(self) -> AsyncIterator[WorkRequest]:
        while (request := await self._requests.receive()) is not None:
            yield request

    def _say(self, response: WorkResponse) -> None:
        network = self._network
        if network.rate and response.answers and network.chance.random() < network.rate:
            network.record.hit("lost ack", self.server.name, to=self.client.name)
            self.break_off(0.1)
            return
        if any(history.snapshot for history in response.histories):
            network.record.hit("gone on with from a snapshot", self.server.name, to=self.client.name)
        self._responses.send(response)

    def say(self, request: WorkRequest) -> None:
        """Sends a request to the server; its batches may come twice, or later than what was said after them."""
        network = self._network
        if not (network.rate and request.batches and network.chance.random() < network.rate):
            self._requests.send(request)
            return
        batches = WorkRequest(batches=request.batches)
        if network.chance.random() < 0.5:
            network.record.hit("duplicated message", self.client.name)
            self.server.after(network.chance.random(), self._requests.send, batches)
            self._requests.send(request)
            return
        network.record.hit("reordered message", self.client.name)
        self.server.after(0.5 * network.chance.random(), self._requests.send, batches)
        request.ClearField("batches")
        if request.ByteSize():
            self._requests.send(request)

    def end_requests(self) -> None:
        """The client has nothing more to say."""
        self.server.after(self._network.latency() + 0.03, self._requests.end)

    def cut(self) -> None:
        """A partition has come between the two: nothing flows, until it ends or somebody gives up."""
        self._requests.cut = self._responses.cut = True
        within = KEEPALIVE_SECONDS * (0.5 + self._network.chance.random())
        self.client.after(within, self._give_up)

    def _give_up(self) -> None:
        if self._requests.cut:
            self.break_off(KEEPALIVE_SECONDS)

    def flow_on(self) -> None:
        """The partition is over."""
        if self._requests.cut and not self.broken:
            self._requests.flow_on()
            self._responses.flow_on()

    def break_off(self, within: float) -> None:
        """Each side learns of the break within so many seconds; what is on its way until then may arrive."""
        if self.broken:
            return
        self.broken = True
        chance = self._network.chance
        self._responses.cut = True
        self.client.after(within * chance.random(), self.finish, grpc.StatusCode.UNAVAILABLE)
        self.server.after(within * chance.random(), self._abandon)

    def _abandon(self) -> None:
        self._requests.end()
        if self._serving is not None:
            self._serving.cancel()

    def finish(self, status: grpc.StatusCode) -> None:
        """The client learns how the stream ended."""
        if self.status is None:
            self.status = status
            self.over = self.broken = True
            self._responses.end()
            self._finished.set()
            self.server.after(0.0, self._abandon)

    async def read(self) -> Any:
        """The next response, or EOF."""
        response = await self._responses.receive()
        return grpc.aio.EOF if response is None else response

    async def finished(self) -> grpc.StatusCode:
        """The status, when there is one."""
        await self._finished.wait()
        assert self.status is not None
        return self.status


class SimulatedCall:
    """What the executor has of a stream: as much of gRPC's call as it uses."""

    def __init__(self, stream: Stream | None) -> None:
        """None for a call that reached nobody."""
        self._stream = stream

    async def write(self, request: WorkRequest) -> None:
        """Sends a request. Raises AioRpcError where nobody is reached, InvalidStateError where the stream has ended."""
        await asyncio.sleep(0)
        if self._stream is None:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "nobody")
        if self._stream.status is not None:
            raise asyncio.InvalidStateError
        self._stream.say(request)

    async def done_writing(self) -> None:
        """Closes this side."""
        if self._stream is not None:
            self._stream.end_requests()

    async def read(self) -> Any:
        """The next response, or EOF."""
        return grpc.aio.EOF if self._stream is None else await self._stream.read()

    async def code(self) -> grpc.StatusCode:
        """The status that the stream ended with."""
        return grpc.StatusCode.UNAVAILABLE if self._stream is None else await self._stream.finished()

    async def details(self) -> str:
        """Nothing is said of it."""
        return ""

    async def initial_metadata(self) -> Any:
        """There is none."""
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> Any:
        """There is none."""
        return grpc.aio.Metadata()

    def cancel(self) -> None:
        """Ends the stream from this side."""
        if self._stream is not None and self._stream.status is None:
            self._stream.finish(grpc.StatusCode.CANCELLED)


class SimulatedChannel:
    """Stands where a channel does: it makes one call, Work, to a server that is reached now."""

    def __init__(self, connect: Callable[[], SimulatedCall]) -> None:
        self._connect = connect

    def stream_stream(self, *_: Any, **__: Any) -> Callable[..., SimulatedCall]:
        """The one method that an executor calls. Whoever calls here is asked for no key, and may say one."""
        return lambda **_: self._connect()
