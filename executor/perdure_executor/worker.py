"""An executor: connects, serves one stream after another, keeps its lease, and leaves in good order."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
import structlog

from perdure.keys import Metadata
from perdure.runlog import FOLD_VERSION
from perdure.runlog.snapshots import FORM
from perdure.v1 import execution_pb2, execution_pb2_grpc
from perdure.v1.execution_pb2 import WorkRequest
from perdure_executor.commands import Supervisor
from perdure_executor.held_runs import HeldRuns
from perdure_executor.host import THIS_HOST, Host
from perdure_executor.lease_keeper import LeaseKeeper, LeaseTerms
from perdure_executor.node_context import Equipment
from perdure_executor.nodes import KINDS
from perdure_executor.work_end import WorkEnd

log = structlog.get_logger(__name__)

PROTOCOL: Final = 1
RECONNECT_SECONDS: Final = (0.05, 5.0)
"""Pause before a broken stream is opened again, at first and at most."""

GOODBYE_SECONDS: Final = 5.0
SUPERVISOR_LOST_EXIT_CODE: Final = 71
"""Exit code of an executor that has left because its supervisor was lost: it can run no command any more."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Who an executor is and what it takes."""

    executor_id: str
    incarnation: str
    queues: tuple[str, ...]
    providers: tuple[str, ...]
    labels: tuple[str, ...]
    slots: int
    version: str
    drain_seconds: float
    """How long running work may go on after a request to stop, before it is ended."""


async def _never() -> None:
    """A channel that is good for as long as its executor lives."""


class Worker:
    """One executor process."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        profile: Profile,
        equip: Callable[[int], Equipment],
        host: Host = THIS_HOST,
        saying_who: Callable[[], Metadata] = tuple,
        renewed: Callable[[], Awaitable[grpc.aio.Channel | None]] = _never,
    ) -> None:
        """`equip` makes the equipment for the server's payload limit, in bytes.

        `saying_who` gives what the server knows this executor by, and `renewed` another channel where the one before is not
        to be used any more. Both are asked each time that it connects.
        """
        self._renewed = renewed
        self._saying_who = saying_who
        self._stub = execution_pb2_grpc.ExecutionServiceStub(channel)
        self._profile = profile
        self._equip = equip
        self._equipment: Equipment | None = None
        self._lease = LeaseKeeper(host)
        self._held = HeldRuns(profile.slots, self._lease)
        self.work_end: Final = WorkEnd(self._held, self._lease, host)
        self._generation = 0
        self._pause = RECONNECT_SECONDS[0]
        self._losing: asyncio.Task[None] | None = None
        self.connected: Final = asyncio.Event()

    async def run(self) -> int:
        """Works until `drain` has been called and nothing is held any more; returns the process's exit code.

        It drains by itself where its supervisor is lost.
        """
        watch = asyncio.create_task(self.work_end.watch())
        try:
            while not self._held.left:
                try:
                    await self._serve_stream()
                except grpc.aio.AioRpcError as error:
                    wait = round(self._pause * random.uniform(0.5, 1.0), 3)  # noqa: S311  # jitter, not a secret
                    log.warning("stream.lost", code=error.code().name, detail=error.details(), again_in_seconds=wait)
                    await asyncio.sleep(wait)
                    self._pause = min(self._pause * 2, RECONNECT_SECONDS[1])
        finally:
            watch.cancel()
            if self._losing is not None:
                self._losing.cancel()
        log.info("executor.left")
        lost = self._equipment is not None and self._equipment.supervisor.lost.is_set()
        return SUPERVISOR_LOST_EXIT_CODE if lost else 0

    async def drain(self) -> None:
        """Takes no more runs, lets what runs end within the drain time, gives the rest back, and returns then.

        Runs that no server takes back within a few seconds more are left: their leases lapse. Where a function runs on by
        then the process ends itself, for its run may not be given back, and nobody else can end it.
        """
        log.info("executor.draining", held=self._held.count, seconds=self._profile.drain_seconds)
        self._held.drain()
        if not await self._held.given_up(self._profile.drain_seconds):
            self._held.stop_work()
        if not await self._held.given_up(GOODBYE_SECONDS):
            self.work_end.end_if_functions_run_on()
            log.warning("runs.left", held=self._held.count)
            self._held.fence()

    async def _serve_stream(self) -> None:
        if (channel := await self._renewed()) is not None:
            self._stub = execution_pb2_grpc.ExecutionServiceStub(channel)
        call: Any = self._stub.Work(metadata=self._saying_who())
        said_hello_at = self._lease.seconds()
        await call.write(WorkRequest(hello=self._hello()))
        response = await call.read()
        if response is grpc.aio.EOF or not response.HasField("welcome"):
            await _raise_status(call)
            return
        await self._welcomed(response.welcome, said_hello_at)
        tasks = [
            asyncio.create_task(self._write(call), name="work-write"),
            asyncio.create_task(self._read(call), name="work-read"),
            asyncio.create_task(self._beat(), name="work-beat"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done() and tasks[0].exception() is None:
                # Everything is said. The server ends the stream when it has taken the goodbye in.
                await asyncio.wait(tasks[1:2], timeout=GOODBYE_SECONDS)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            self.connected.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            call.cancel()

    def _hello(self) -> execution_pb2.Hello:
        profile = self._profile
        return execution_pb2.Hello(
            executor_id=profile.executor_id,
            incarnation=profile.incarnation,
            protocol=execution_pb2.VersionRange(lowest=PROTOCOL, highest=PROTOCOL),
            fold=execution_pb2.VersionRange(lowest=FOLD_VERSION, highest=FOLD_VERSION),
            node_kinds=list(KINDS),
            queues=profile.queues,
            providers=profile.providers,
            labels=profile.labels,
            slots=profile.slots,
            version=profile.version,
            snapshot_form=FORM,
        )

    async def _welcomed(self, welcome: execution_pb2.Welcome, said_hello_at: float) -> None:
        terms = LeaseTerms(
            lease=welcome.lease.ToMicroseconds() / 1e6,
            heartbeat_interval=welcome.heartbeat_interval.ToMicroseconds() / 1e6,
            stall_allowance=welcome.stall_allowance.ToMicroseconds() / 1e6,
        )
        self._lease.welcome(terms, said_hello_at)
        if self._equipment is None or self._equipment.max_payload_bytes != welcome.max_payload_bytes:
            self._equipment = self._equip(welcome.max_payload_bytes)
            self.work_end.equip(self._equipment)
        if self._losing is None:
            self._losing = asyncio.create_task(self._leave_without(self._equipment.supervisor))
        if self._generation and welcome.generation != self._generation:
            log.warning("store.generation_changed", before=self._generation, now=welcome.generation)
        self._generation = welcome.generation
        # Ahead of every command that is begun on this stream: should this process be suspended, that ends them.
        await self.work_end.feed()
        self._held.begin_stream(self._equipment)
        self._pause = RECONNECT_SECONDS[0]
        self.connected.set()
        log.info("stream.opened", server=welcome.server_id, held=self._held.count)

    async def _beat(self) -> None:
        while True:
            self._held.beat()
            await asyncio.sleep(self._lease.heartbeat_interval)

    async def _write(self, call: Any) -> None:
        while True:
            request = self._held.next_request()
            if request is not None:
                try:
                    await call.write(request)
                except asyncio.InvalidStateError:  # the stream has ended, and its status says why
                    await _raise_status(call)
                    return
                continue
            if self._held.left:
                await call.done_writing()
                return
            self._held.wake.clear()
            await self._held.wake.wait()

    async def _read(self, call: Any) -> None:
        while True:
            response = await call.read()
            if response is grpc.aio.EOF:
                await _raise_status(call)
                return
            self._held.take_in(response)
            # Ahead of what waited for a renewal, and begins in a moment.
            await self.work_end.feed()
            if response.HasField("drain"):
                # The server ends this stream soon. What is on its way is sent again on the next one.
                log.info("stream.ending")
                return

    async def _leave_without(self, supervisor: Supervisor) -> None:
        """Leaves when the supervisor is lost: an executor that can run no command would be free for every one."""
        await supervisor.lost.wait()
        log.error("executor.leaves", reason="its supervisor is gone, and with it the means to run commands")
        await self.drain()


async def _raise_status(call: Any) -> None:
    """Raises the status that a stream ended with, unless it is OK."""
    code = await call.code()
    if code is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(
            code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
        )
