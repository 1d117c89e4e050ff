"""One run's events on their way to the log: ordered, repeated after a reconnect, kept until they are acknowledged."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from perdure.runlog.kinds import RELEASING_KINDS, synchronises
from perdure.v1 import execution_pb2
from perdure.v1.run_events_pb2 import RunEvent

MAX_BATCH_EVENTS: Final = 250
MAX_BATCH_BYTES: Final = 1024 * 1024
"""What a batch holds at most, unless its first event alone is larger."""

_LARGE: Final = frozenset({
    "node_output", "task_output", "unit_content", "rendered_arguments", "wait_subject", "output_files", "map_items",
})  # fmt: skip
_SMALL_BYTES: Final = 100
"""What an event without a payload counts for."""


@dataclass(slots=True)
class Pending:
    """An event that is not acknowledged. `keep` says that it tells of something that has happened; `seen` is the last
    fact that its holder knew when it was decided, whatever has come since."""

    ordinal: int
    event: RunEvent
    kind: str
    keep: bool
    synchronising: bool
    size: int
    seen: int


@dataclass(slots=True)
class Backlog:
    """How much is on its way to the log, of all streams that share it."""

    bytes: int = 0


WhenStored = Callable[[Exception | None], None]
"""Is told None when an event is stored, or why it never will be."""


class Dropped(Exception):
    """The event was dropped before it was stored: the run had facts that its holder did not know."""


class Fenced(Exception):
    """The lease is gone; nothing of the run may be begun here any more."""


class EventStream:
    """The events of one run under one lease."""

    def __init__(
        self,
        run_id: str,
        lease_id: str,
        seen: int,
        dirty: Callable[["EventStream"], None],
        backlog: Backlog | None = None,
    ) -> None:
        """`dirty` is called whenever there is something to send; `backlog` counts what is not acknowledged."""
        self.run_id: Final = run_id
        self.lease_id: Final = lease_id
        self.seen = seen
        self.unacknowledged_bytes = 0
        self._dirty = dirty
        self._backlog = backlog or Backlog()
        self.loop = asyncio.get_running_loop()
        self._tail = 0
        self._next_ordinal = 1
        self._sent = 0
        self._acknowledged = 0
        self._awaited = 0
        self._silent = False
        self._pending: deque[Pending] = deque()
        self._waiting: deque[tuple[int, WhenStored]] = deque()

    @property
    def acknowledged(self) -> int:
        """The highest ordinal that is stored."""
        return self._acknowledged

    @property
    def awaits_answer(self) -> bool:
        """Whether something is on its way before whose answer nothing may be decided."""
        return self._awaited > self._acknowledged

    @property
    def releasing(self) -> bool:
        """Whether the event with which the run is given up is on its way."""
        return bool(self._pending) and self._pending[-1].kind in RELEASING_KINDS

    def append(self, event: RunEvent, *, keep: bool) -> int:
        """Adds an event and returns its ordinal."""
        kind = event.WhichOneof("kind") or ""
        ordinal = self._next_ordinal
        self._next_ordinal += 1
        size = event.ByteSize() if kind in _LARGE else _SMALL_BYTES
        synchronising = synchronises(event, kind)
        if synchronising or _ends_at_once(event, kind):
            self._awaited = ordinal
        self._pending.append(Pending(ordinal, event, kind, keep, synchronising, size, self.seen))
        self.unacknowledged_bytes += size
        self._backlog.bytes += size
        if not self._silent:
            self._dirty(self)
        return ordinal

    async def stored(self, ordinal: int) -> None:
        """Returns when the event of that ordinal is committed. Raises Dropped."""
        if ordinal > self._acknowledged:
            waiting: asyncio.Future[None] = self.loop.create_future()
            self.when_stored(ordinal, lambda never: _settle(waiting, never))
            await waiting

    def when_stored(self, ordinal: int, call: WhenStored) -> None:
        """Calls back when the event of that ordinal, which is not acknowledged, is committed, or never will be."""
        self._waiting.append((ordinal, call))

    def put_batch(self, request: execution_pb2.WorkRequest) -> tuple[int, int]:
        """Adds the next events to send to a request, up to and with the first that synchronises.

        All of them were decided with the same facts seen.
        Returns how many they are and roughly their bytes; (0, 0) where all are sent.
        """
        events: list[RunEvent] = []
        first, size, seen = self._sent + 1, 0, 0
        for pending in self._unsent():
            if events and (size + pending.size > MAX_BATCH_BYTES or pending.seen != seen):
                break
            seen = pending.seen
            size += pending.size
            events.append(pending.event)
            self._sent = pending.ordinal
            if pending.synchronising or len(events) == MAX_BATCH_EVENTS:
                break
        if events:
            batch = request.batches.add()
            batch.run_id, batch.lease_id, batch.tail = self.run_id, self.lease_id, self._tail
            batch.first_ordinal, batch.seen = first, seen
            batch.events.extend(events)
        return len(events), size

    def has_unsent(self) -> bool:
        """Whether there is something to send."""
        return not self._silent and self._sent < self._next_ordinal - 1

    def is_for(self, answer: execution_pb2.Answer) -> bool:
        """Whether the answer is to this lease and to a batch whose events still count."""
        return answer.tail == self._tail and answer.lease_id == self.lease_id

    def acknowledge(self, ordinal: int) -> Pending | None:
        """Everything up to an ordinal is stored. Returns the last event this says so of for the first time, if any."""
        stored, size = None, 0
        while self._pending and self._pending[0].ordinal <= ordinal:
            stored = self._pending.popleft()
            size += stored.size
        if stored is not None:
            self._forget(size)
            self._acknowledged = stored.ordinal
            self._sent = max(self._sent, self._acknowledged)
        while self._waiting and self._waiting[0][0] <= self._acknowledged:
            _, call = self._waiting.popleft()
            call(None)
        return stored

    def send_again(self, ordinal: int) -> None:
        """Events from an ordinal on have to be sent again."""
        self._sent = min(self._sent, max(ordinal - 1, self._acknowledged))
        if self.has_unsent():
            self._dirty(self)

    def reconnected(self) -> None:
        """Everything that is not acknowledged has to be sent on the new stream."""
        self.send_again(self._acknowledged + 1)

    def drop_from(self, ordinal: int) -> list[Pending]:
        """Takes back every event from an ordinal on, raises the tail, and returns them; the ordinals are used again."""
        self.acknowledge(ordinal - 1)
        dropped = list(self._pending)
        self._pending.clear()
        self._forget(self.unacknowledged_bytes)
        self._tail += 1
        self._next_ordinal = ordinal
        self._sent = ordinal - 1
        self._awaited = min(self._awaited, ordinal - 1)
        self.fail_waiting(Dropped())
        return dropped

    def _forget(self, size: int) -> None:
        self.unacknowledged_bytes -= size
        self._backlog.bytes -= size

    def fail_waiting(self, error: Exception) -> None:
        """Ends every wait for an acknowledgement."""
        while self._waiting:
            _, call = self._waiting.popleft()
            call(error)

    def silence(self) -> None:
        """Sends nothing any more; what is appended from here on is kept for whoever asks for it."""
        self._silent = True
        self.fail_waiting(Fenced())

    def ordinal_of(self, event: RunEvent) -> int:
        """The ordinal of an event that is not acknowledged; 0 where it is."""
        return next((pending.ordinal for pending in self._pending if pending.event is event), 0)

    def _unsent(self) -> Iterator[Pending]:
        if self._silent:
            return iter(())
        if self._sent == self._acknowledged:
            return iter(self._pending)
        return (pending for pending in self._pending if pending.ordinal > self._sent)


def _ends_at_once(event: RunEvent, kind: str) -> bool:
    """Whether a node is over as it begins. Its answer is awaited: what ran ahead of it would rest on what is taken back."""
    match kind:
        case "fact_taken_up":  # by a wait for a signal that had come before it was opened
            return event.fact_taken_up.HasField("instance")
        case "map_begun":
            return event.map_begun.count == 0
    return False


def _settle(waiting: "asyncio.Future[None]", never: Exception | None) -> None:
    if waiting.done():
        return
    if never is None:
        waiting.set_result(None)
    else:
        waiting.set_exception(never)
