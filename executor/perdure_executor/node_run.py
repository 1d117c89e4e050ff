"""One attempt of a node under way: from its start to its settlement."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Final, Protocol

import structlog

from perdure.runlog.effects import GUARDED
from perdure.runlog.intents import Start
from perdure.v1 import instances_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.event_stream import Dropped, EventStream, Fenced
from perdure_executor.lease_keeper import LeaseKeeper
from perdure_executor.node_context import Work
from perdure_executor.results import Asked, Failed, Result, Stopped, Succeeded, TimedOut, fault_of_ours
from perdure_executor.settlements import stopped

log = structlog.get_logger(__name__)

MAX_UNACKNOWLEDGED_BYTES: Final = 4 * 1024 * 1024
"""Output on its way to the log, after which a node's work waits."""


class NodeHost(Protocol):
    """The run that an attempt belongs to."""

    @property
    def stream(self) -> EventStream:
        """Its events."""

    @property
    def lease(self) -> LeaseKeeper:
        """How long anything may go on."""

    def happened(self, event: RunEvent) -> int:
        """Appends an event that tells of something that has happened, and returns its ordinal."""

    def finished(self, run: "NodeRun", settled: list[RunEvent] | Result | None) -> None:
        """The attempt is over: with its result, with its settlement, or with nothing to be said of it."""


class NodeRun:
    """One attempt. It is `begun` once anything of its work may have happened."""

    def __init__(self, host: NodeHost, start: Start, work: Work, ordinal: int) -> None:
        """`ordinal` is that of the attempt's start in the stream."""
        self.start: Final = start
        self.begun = False
        self._host = host
        self._work = work
        self._dropped = False
        self._stopping = False
        self._running = False
        self._limit: asyncio.Timeout | None = None
        self._task: asyncio.Task[None] | None = None
        if start.node.effect in GUARDED:
            host.stream.when_stored(ordinal, self._begin)
        else:
            self._begin(None)

    def stop(self) -> None:
        """Ends the work; before it has begun, keeps it from beginning."""
        if self._stopping:
            return
        self._stopping = True
        # A start that is not acknowledged may yet be taken back; only its answer says whether there is work to settle.
        # And a task that is cancelled before its first step would say nothing at all.
        if self._task is not None and self._running:
            self._task.cancel()

    def drop(self) -> None:
        """Its start was taken back before it had begun: it never was."""
        self._dropped = True

    def _begin(self, never: Exception | None) -> None:
        """Its start is stored, or does not have to be; `never` says why it will not be."""
        self._task = self._host.stream.loop.create_task(self._run(never))

    async def _run(self, never: Exception | None) -> None:
        self._running = True
        try:
            # Asked last thing before the launch: since the acknowledgement the process may have been suspended.
            if never is None and not self._may_begin():
                await self._lease_allows()
            if self._dropped or never is not None:
                self._host.finished(self, None)
            elif self._stopping:
                self._host.finished(self, [stopped(self.start, Stopped(begun=False))])
            else:
                self.begun = True
                self._host.finished(self, await self._result())
        except (Dropped, Fenced):
            self._host.finished(self, None)

    def _may_begin(self) -> bool:
        lease = self._host.lease
        return lease.may_begin() if self.start.node.effect in GUARDED else lease.may_send()

    async def _lease_allows(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # it is to stop, and nothing of it has begun
            while not (self._stopping or self._may_begin()):
                await self._host.lease.renewed()

    async def _result(self) -> Result:
        try:
            work = self._work.begin(self)
            return await (self._bounded(work) if self.start.node.HasField("timeout") else work)
        except (Dropped, Fenced):
            raise
        except BaseException as error:  # a fault of ours fails the node; its run must not hang on it
            # What was stopped is begun again and counts for nothing, so nothing may call itself stopped.
            if self._stopping and isinstance(error, asyncio.CancelledError):
                return Stopped()
            log.exception("node.failed", run=self._host.stream.run_id, node=self.start.node.id)
            return fault_of_ours(error)

    async def _bounded(self, work: Awaitable[Result]) -> Result:
        seconds = self.start.node.timeout.ToMicroseconds() / 1e6
        message = f"it did not end within {seconds:g} s"
        try:
            async with asyncio.timeout(seconds) as limit:
                self._limit = limit
                result = await work
        except TimeoutError:
            return TimedOut(message)
        return _late(message, result) if limit.expired() else result

    def say(self, event: RunEvent) -> None:
        """Appends a data event."""
        self._host.happened(event)

    async def keep(self, event: RunEvent) -> None:
        """Appends a data event and returns when it is stored. Raises Fenced where it never will be."""
        ordinal = self._host.happened(event)
        while ordinal:
            try:
                await self._host.stream.stored(ordinal)
            except Dropped:  # with what another branch had begun too early; it was said again at once
                ordinal = self._host.stream.ordinal_of(event)
            else:
                return

    @property
    def asked_to_end(self) -> bool:
        """Whether somebody wants the work to end: a stop came, or its time limit has passed."""
        return self._stopping or (self._limit is not None and self._limit.expired())

    async def room(self) -> None:
        """Returns when there is room for more output on its way to the log."""
        stream = self._host.stream
        while stream.unacknowledged_bytes > MAX_UNACKNOWLEDGED_BYTES:
            with contextlib.suppress(Dropped):  # what is dropped makes room, too
                await stream.stored(stream.acknowledged + 1)


def _late(message: str, result: Result) -> Result:
    """What an attempt came to whose time limit had passed when it ended."""
    match result:
        case Stopped() if not result.begun:
            return Failed(instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT, f"{message}; it had not begun")
        case Stopped() | TimedOut():
            return TimedOut(message, result.task)
        case Succeeded():
            return TimedOut(f"{message}, and succeeded later", result.task)
        case Failed():
            return TimedOut(f"{message}, and failed later: {result.message}", result.task)
        case Asked():
            return TimedOut(f"{message}, and asked a person later")
