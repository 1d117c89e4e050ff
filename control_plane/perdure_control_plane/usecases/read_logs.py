"""Reads pieces of logs, and the plans they follow."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from perdure.runlog.instances import instance
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.ids import RunId, SessionId, TaskId
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Store, Transaction

OUTPUT_PIECES: Final = 64
"""Pieces of task output that are read at once."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A piece of a log. `position` is where the next one goes on."""

    events: list[RecordedEvent]
    more: bool
    position: Any


@dataclass(frozen=True, slots=True)
class PlanOfRun:
    """A run, and the bytes of the plan it is pinned to."""

    run: Run
    plan: bytes


async def run_plan(store: Store, run_id: RunId) -> PlanOfRun:
    """The plan that a run walks. Raises NotFound."""

    def body(tx: Transaction) -> PlanOfRun:
        run = tx.runs.get(run_id)
        return PlanOfRun(run, tx.playbooks.plan(run.identity.plan_digest))

    return await store.read(body)


async def run_events(store: Store, limits: Limits, run_id: RunId, after: int, size: int) -> EventPage:
    """A run's events after a sequence. Raises NotFound."""

    def body(tx: Transaction) -> EventPage:
        last = tx.runs.get(run_id).head.last_sequence
        events = tx.events.after(run_id, after, limit=size, max_bytes=limits.max_page_bytes)
        position = events[-1].sequence if events else after
        return EventPage(events, position < last and bool(events), position)

    return await store.read(body)


async def session_events(store: Store, limits: Limits, session_id: SessionId, after: Any, size: int) -> EventPage:
    """The events of a session's runs after a position. Raises NotFound."""

    def body(tx: Transaction) -> EventPage:
        tx.sessions.get(session_id)
        place = tuple(after) if after else (0, "", 0)
        found = tx.events.of_session(session_id, place, limit=size + 1, max_bytes=limits.max_page_bytes)
        kept = found[:size]
        position = [kept[-1][0], kept[-1][1].run_id, kept[-1][1].sequence] if kept else after
        more = bool(kept) and bool(tx.events.of_session(session_id, tuple(position), limit=1, max_bytes=1))
        return EventPage([recorded for _, recorded in kept], more, position)

    return await store.read(body)


async def task_output(store: Store, session_id: SessionId, task_id: TaskId, after: int) -> AsyncIterator[RecordedEvent]:
    """What a task has printed, in the order it was stored. Raises NotFound."""
    task = await store.read(lambda tx: tx.tasks.get(session_id, task_id))
    while True:
        piece = await store.read(
            lambda tx, after=after: tx.events.of_kinds(task.run_id, ("task_output",), after=after, limit=OUTPUT_PIECES)  # type: ignore[misc]  # default binds now
        )
        for recorded in piece:
            printed_by = str(instance(recorded.event.task_output.instance))
            if recorded.holder.lease_id == task.lease_id and printed_by == task.instance:
                yield recorded
        if len(piece) < OUTPUT_PIECES:
            return
        after = piece[-1].sequence
