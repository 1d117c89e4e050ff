"""An executor: connects, serves one stream after another, keeps its lease, and leaves in good order."""

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
import structlog

from perdure.runlog import FOLD_VERSION
from perdure.v1 import execution_pb2, execution_pb2_grpc
from perdure.v1.execution_pb2 import WorkRequest
from perdure_executor import clock
from perdure_executor.commands import SupervisorLost
from perdure_executor.held_runs import HeldRuns
from perdure_executor.lease_keeper import LeaseKeeper, LeaseTerms
from perdure_executor.node_context import Equipment
from perdure_executor.nodes import KINDS

log = structlog.get_logger(__name__)

PROTOCOL: Final = 1
RECONNECT_SECONDS: Final = (0.05, 5.0)
"""Pause before a broken stream is opened again, at first and at most."""

GOODBYE_SECONDS: Final = 5.0
THREADS_LEFT_EXIT_CODE: Final = 70
"""Exit code of an executor that ends itself because a function runs on past its work end and cannot be ended."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Who an executor is and what it takes."""

    executor_id: str
    incarnation: str
    queues: tuple[str, ...]
    providers: tuple[str, ...]
    slots: int
    version: str
    drain_seconds: float
    """How long running work may go on after a request to stop, before it is ended."""


class Worker:
    """One executor process."""

    def __init__(self, channel: grpc.aio.Channel, profile: Profile, equip: Callable[[int], Equipment]) -> None:
        """`equip` makes the equipment for the server's payload limit, in bytes."""
        self._stub = execution_pb2_grpc.ExecutionServiceStub(channel)
        self._profile = profile
        self._equip = equip
        self._equipment: Equipment | None = None
        self._lease = LeaseKeeper()
        self._held = HeldRuns(profile.slots, self._lease)
        self._generation = 0
        self._fed_work_end = 0.0
        self._pause = RECONNECT_SECONDS[0]
        self.connected: Final = asyncio.Event()

    async def run(self) -> None:
        """Works until `drain` has been called and nothing is held any more."""
        watch = asyncio.create_task(self._watch_lease())
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
        log.info("executor.left")

    async def drain(self) -> None:
        """Takes no more runs, lets what runs end within the drain time, gives the rest back, and returns then.

        Runs that no server takes back within a few seconds more are left: their leases lapse.
        """
        log.info("executor.draining", held=self._held.count, seconds=self._profile.drain_seconds)
        self._held.drain()
        if not await self._held.given_up(self._profile.drain_seconds):
            self._held.stop_work()
        if not await self._held.given_up(GOODBYE_SECONDS):
            log.warning("runs.left", held=self._held.count)
            self._held.fence()

    async def _serve_stream(self) -> None:
        call: Any = self._stub.Work()
        said_hello_at = clock.seconds()
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
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0] in done and tasks[0].exception() is None:
                # Everything is said. The server ends the stream when it has taken the goodbye in.
                done, _ = await asyncio.wait(tasks[1:2], timeout=GOODBYE_SECONDS)
            for task in done:
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
            slots=profile.slots,
            version=profile.version,
        )

    async def _welcomed(self, welcome: execution_pb2.Welcome, said_hello_at: float) -> None:
        terms = LeaseTerms(
            lease=welcome.lease.ToMicroseconds() / 1e6,
            heartbeat_interval=welcome.heartbeat_interval.ToMicroseconds() / 1e6,
            stall_allowance=welcome.stall_allowance.ToMicroseconds() / 1e6,
        )
        self._lease.welcome(terms, said_hello_at)
        self._equipment = self._equipment or self._equip(welcome.max_payload_bytes)
        if self._generation and welcome.generation != self._generation:
            log.warning("store.generation_changed", before=self._generation, now=welcome.generation)
        self._generation = welcome.generation
        # Ahead of every command that is begun on this stream: should this process be suspended, that ends them.
        await self._feed_work_end()
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
            await self._feed_work_end()
            if response.HasField("drain"):
                # The server ends this stream soon. What is on its way is sent again on the next one.
                log.info("stream.ending")
                return

    async def _watch_lease(self) -> None:
        """Ends what runs when the work end has passed, and tells the supervisor when that will be."""
        while True:
            await self._feed_work_end()
            if self._held.count and clock.seconds() >= self._lease.work_end:
                log.error("lease.work_end_passed", held=self._held.count)
                self._held.stop_work()
                self._end_if_threads_run_on()
            await asyncio.sleep(min(0.2, self._lease.heartbeat_interval / 4))

    async def _feed_work_end(self) -> None:
        work_end = self._lease.work_end
        if self._equipment is None or work_end == self._fed_work_end:
            return
        self._fed_work_end = work_end
        try:
            await self._equipment.supervisor.feed_work_end(work_end)
        except SupervisorLost:  # whoever waits for a command notices it, too
            log.error("supervisor.lost")

    def _end_if_threads_run_on(self) -> None:
        if self._equipment is not None and self._equipment.threads.running:
            # Nobody can end a thread, and another executor may begin the same work now.
            log.error("executor.ends_itself", threads=self._equipment.threads.running)
            os._exit(THREADS_LEFT_EXIT_CODE)


async def _raise_status(call: Any) -> None:
    """Raises the status that a stream ended with, unless it is OK."""
    code = await call.code()
    if code is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(
            code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
        )
