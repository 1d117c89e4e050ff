"""Follows runs and flows across lost connections and restarted servers: every event once, and none left out.

A broken stream is opened again after the last sequence received, so what a restart costs is a pause.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol, TypeVar

from perdure.client.errors import CallFailed
from perdure.v1.approvals_pb2 import WatchApprovalsRequest, WatchApprovalsResponse
from perdure.v1.flows_pb2 import Flow, RunCursor, WatchFlowRequest, WatchFlowResponse
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure.v1.runs_pb2 import WatchRunRequest, WatchRunResponse

log = logging.getLogger(__name__)
"""Tells at level INFO of every stream that broke off, as `watch.lost`; silent unless a program listens."""

FlowNews = Flow | RecordedEvent
"""What a flow's watcher is told: the flow, whenever its status has changed, and the events of its runs."""

FIRST_PAUSE: Final = timedelta(seconds=0.1)
LONGEST_PAUSE: Final = timedelta(seconds=2)
SILENCE: Final = timedelta(seconds=60)
"""A server says something every few seconds; a stream that is silent for longer is taken for broken."""

Item_co = TypeVar("Item_co", covariant=True)
Item = TypeVar("Item")


class Stream(Protocol[Item_co]):
    """A server's stream."""

    def __aiter__(self) -> AsyncIterator[Item_co]:
        """Its items. Raises CallFailed."""

    def cancel(self) -> bool:
        """Tells the server that nobody reads it any more."""


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """How a broken stream is opened again, and for how long without any server."""

    patience: timedelta
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic


async def watch_run(
    open_stream: Callable[[WatchRunRequest], Stream[WatchRunResponse]],
    request: WatchRunRequest,
    reconnecting: Reconnecting,
) -> AsyncIterator[RecordedEvent]:
    """A run's events after the request's sequence, until the run has ended. Raises CallFailed."""
    asked = WatchRunRequest(name=request.name, after_sequence=request.after_sequence)
    async for item in _unbroken(lambda: open_stream(asked), reconnecting):
        if item.HasField("event") and item.event.sequence > asked.after_sequence:
            asked.after_sequence = item.event.sequence
            yield item.event


async def watch_flow(
    open_stream: Callable[[WatchFlowRequest], Stream[WatchFlowResponse]],
    request: WatchFlowRequest,
    reconnecting: Reconnecting,
) -> AsyncIterator[FlowNews]:
    """A flow and the events of its runs after the request's cursors, until it is settled. Raises CallFailed."""
    seen = {cursor.run: cursor.sequence for cursor in request.cursors}
    told: Flow | None = None

    def again() -> Stream[WatchFlowResponse]:
        cursors = [RunCursor(run=run, sequence=sequence) for run, sequence in seen.items()]
        return open_stream(WatchFlowRequest(name=request.name, cursors=cursors))

    async for item in _unbroken(again, reconnecting):
        if item.HasField("flow") and item.flow != told:
            told = item.flow
            yield item.flow
        elif item.HasField("event") and item.event.sequence > seen.get(f"runs/{item.event.run_id}", 0):
            seen[f"runs/{item.event.run_id}"] = item.event.sequence
            yield item.event


async def watch_approvals(
    open_stream: Callable[[WatchApprovalsRequest], Stream[WatchApprovalsResponse]],
    request: WatchApprovalsRequest,
    reconnecting: Reconnecting,
) -> AsyncIterator[WatchApprovalsResponse]:
    """What happens to approvals, without heartbeats. Does not end by itself. Raises CallFailed."""
    asked = WatchApprovalsRequest()
    asked.CopyFrom(request)
    async for item in _unbroken(lambda: open_stream(asked), reconnecting):
        asked.resume_token, asked.snapshot = item.resume_token, False
        if not item.HasField("heartbeat_time"):
            yield item


async def _unbroken(open_again: Callable[[], Stream[Item]], reconnecting: Reconnecting) -> AsyncIterator[Item]:
    """Items of streams, each opened where the one before broke off, until one ends by itself.

    Raises CallFailed where a new stream would not help, or when there was no server for as long as patience lasts.
    """
    lost_at: float | None = None
    pause = FIRST_PAUSE
    while True:
        stream = open_again()
        try:
            async with aclosing(_spoken(stream)) as items:
                async for item in items:
                    lost_at, pause = None, FIRST_PAUSE
                    yield item
            return
        except TimeoutError:
            continue
        except CallFailed as failure:
            if not failure.lost:
                raise
            now = reconnecting.clock()
            if lost_at is None:
                log.info("watch.lost", extra={"code": failure.code.name, "reason": failure.reason})
                lost_at = now
            if now - lost_at >= reconnecting.patience.total_seconds():
                raise
            wait = max(pause * random.uniform(0.5, 1.0), failure.retry_delay or FIRST_PAUSE)  # noqa: S311  # jitter
        finally:
            stream.cancel()
        await reconnecting.pause(wait.total_seconds())
        pause = min(pause * 2, LONGEST_PAUSE)


async def _spoken(stream: Stream[Item]) -> AsyncGenerator[Item, None]:
    """A stream's items. Raises TimeoutError when it is silent for too long."""
    items = aiter(stream)
    while True:
        try:
            async with asyncio.timeout(SILENCE.total_seconds()):
                item = await anext(items)
        except StopAsyncIteration:
            return
        yield item
