"""Follows runs and flows: every event once, without gaps, as it is committed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Protocol

from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.errors import ServerDraining
from perdure_control_plane.domain.flow import FlowView
from perdure_control_plane.domain.ids import FlowId, RunId
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.view_flow import view

PIECE: Final = 500
"""Events that are read at once."""


class Changes(Protocol):
    """Tells when runs got events. A hint: whoever waits reads the store, and looks again after a while anyway."""

    def subscribe(self, wake: asyncio.Event, run_ids: Iterable[str]) -> Callable[[], None]:
        """Sets `wake` whenever one of the runs gets events. Returns what ends that."""

    @property
    def draining(self) -> bool:
        """Whether the server is about to end."""


class Watcher:
    """Follows runs and flows for watchers."""

    def __init__(self, store: Store, changes: Changes, limits: Limits, heartbeat_seconds: float) -> None:
        self._store = store
        self._changes = changes
        self._limits = limits
        self._heartbeat_seconds = heartbeat_seconds

    async def run(self, run_id: RunId, after: int) -> AsyncIterator[RecordedEvent | None]:
        """A run's events after a sequence, and None for a heartbeat; ends when the run has, and all is delivered.

        Raises NotFound, ServerDraining.
        """

        def body(tx: Transaction) -> tuple[list[RecordedEvent], bool]:
            head = tx.runs.get(run_id).head
            events = tx.events.after(run_id, after, limit=PIECE, max_bytes=self._limits.max_page_bytes)
            last = events[-1].sequence if events else after
            return events, head.ended_sequence > 0 and last >= head.last_sequence

        with self._subscribed([run_id]) as wake:
            while True:
                wake.clear()
                events, ended = await self._store.read(body)
                for recorded in events:
                    yield recorded
                    after = recorded.sequence
                if ended:
                    return
                if not events and not await self._woken(wake):
                    yield None

    async def flow(self, flow_id: FlowId, cursors: dict[RunId, int]) -> AsyncIterator[FlowView | RecordedEvent | None]:
        """The events of a flow's runs after the cursors, the flow they lead to, and None for a heartbeat.

        The flow comes whenever all events that it is computed from are delivered and its status is another than it was
        told with. Ends when it is settled. Raises NotFound, ServerDraining.
        """
        cursors = dict(cursors)

        def body(tx: Transaction) -> tuple[FlowView, list[RecordedEvent]]:
            shown = view(tx, tx.flows.get(flow_id))
            events: list[RecordedEvent] = []
            for run in shown.runs:
                after = cursors.get(run.run_id, 0)
                events += tx.events.after(run.run_id, after, limit=PIECE, max_bytes=self._limits.max_page_bytes)
            return shown, events

        told: object = None
        wake, known = asyncio.Event(), set[RunId]()
        with ExitStack() as subscribed:
            while True:
                wake.clear()
                shown, events = await self._store.read(body)
                fresh = {run.run_id for run in shown.runs} - known
                if fresh:  # among them, from the second time on, children that a run has started since
                    subscribed.callback(self._changes.subscribe(wake, fresh))
                    known |= fresh
                    wake.set()  # what came between the reading and this woke nobody
                for recorded in events:
                    yield recorded
                    cursors[RunId(recorded.run_id)] = recorded.sequence
                delivered = all(cursors.get(run.run_id, 0) >= run.head.last_sequence for run in shown.runs)
                if delivered and (shown.status, shown.settled, shown.decided_by) != told:
                    told = (shown.status, shown.settled, shown.decided_by)
                    yield shown
                if delivered and shown.settled:
                    return
                if not events and not await self._woken(wake):
                    yield None

    @contextmanager
    def _subscribed(self, run_ids: Iterable[str]) -> Iterator[asyncio.Event]:
        wake = asyncio.Event()
        end = self._changes.subscribe(wake, run_ids)
        try:
            yield wake
        finally:
            end()

    async def _woken(self, wake: asyncio.Event) -> bool:
        if self._changes.draining:
            raise ServerDraining
        try:
            async with asyncio.timeout(self._heartbeat_seconds):
                await wake.wait()
        except TimeoutError:
            return False
        if self._changes.draining:
            raise ServerDraining
        return True
