"""Limits of queues, and what is counted for them: `queue_limits`."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, delete, func, insert, literal_column, or_, select, union, update
from sqlalchemy.engine import Connection

from perdure.runlog.states import RunState
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.queue import Queue, QueueLimits
from perdure_control_plane.storage.tables import queue_limits, run_queue, runs

_COLUMNS: Final = [queue_limits.c[field.name] for field in fields(QueueLimits)]
_ZERO: Final[ColumnElement[int]] = literal_column("0")
_AT_WORK: Final = runs.c.state == RunState.RUNNING.value


def exhausted(at: Any) -> Select[Any]:
    """Queues of which nothing may be handed out at a time."""
    holding = runs.alias("holding")
    at_work = select(func.count()).select_from(holding)
    at_work = at_work.where(holding.c.state == RunState.RUNNING.value, holding.c.queue == queue_limits.c.queue)
    full = (queue_limits.c.max_at_work > _ZERO) & (at_work.scalar_subquery() >= queue_limits.c.max_at_work)
    return select(queue_limits.c.queue).where(
        or_((queue_limits.c.rate_runs > _ZERO) & (queue_limits.c.next_at > at), full)
    )


class QueueRows:
    """Keeps limits of queues, and counts what is in them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def limits(self, queues: Sequence[str]) -> list[QueueLimits]:
        """The limits of these queues; of those that have any row."""
        query = select(*_COLUMNS).where(queue_limits.c.queue.in_(queues)).order_by(queue_limits.c.queue)
        return [QueueLimits(*row) for row in self._connection.execute(query)]

    def limits_of(self, queue: str) -> QueueLimits:
        """The limits of a queue, be there any or not."""
        return next(iter(self.limits([queue])), QueueLimits(queue))

    def max_queued(self) -> dict[str, int]:
        """How many runs may be ready, of the queues that bound that."""
        query = select(queue_limits.c.queue, queue_limits.c.max_queued).where(queue_limits.c.max_queued > 0)
        return {row[0]: int(row[1]) for row in self._connection.execute(query)}

    def save(self, limits: QueueLimits) -> None:
        """Stores limits, as somebody has set them."""
        self._connection.execute(delete(queue_limits).where(queue_limits.c.queue == limits.queue))
        self._connection.execute(insert(queue_limits).values(asdict(limits)))

    def spend(self, spent: Iterable[QueueLimits]) -> None:
        """Stores from when each rate lets a run be handed out."""
        for limits in spent:
            of_queue = queue_limits.c.queue == limits.queue
            self._connection.execute(update(queue_limits).where(of_queue).values(next_at=limits.next_at))

    def at_work(self, queues: Sequence[str] | None = None) -> dict[str, int]:
        """How many runs of each queue executors hold, of these queues or of all; none where there is none."""
        return self._counts(select(runs.c.queue, func.count()).where(_AT_WORK).group_by(runs.c.queue), runs, queues)

    def queued(self, queues: Sequence[str] | None = None) -> dict[str, int]:
        """How many runs of each queue are ready, of these queues or of all; none where there is none."""
        counts = select(run_queue.c.queue, func.count()).group_by(run_queue.c.queue)
        return self._counts(counts, run_queue, queues)

    def first_at_work(self, queue: str, limit: int) -> list[RunId]:
        """Runs of a queue that executors hold, the first created first."""
        query = select(runs.c.run_id).where(_AT_WORK, runs.c.queue == queue)
        query = query.order_by(runs.c.created_at, runs.c.run_id).limit(limit)
        return [RunId(row[0]) for row in self._connection.execute(query)]

    def page(self, after: str, limit: int) -> list[Queue]:
        """Queues that have limits, ready runs or runs at work, by name, after a name."""
        working = select(runs.c.queue).where(_AT_WORK)
        names = union(select(queue_limits.c.queue), select(run_queue.c.queue), working).subquery()
        query = select(names.c.queue).where(names.c.queue > after).order_by(names.c.queue).limit(limit)
        return self.each([row[0] for row in self._connection.execute(query)])

    def each(self, queues: Sequence[str]) -> list[Queue]:
        """These queues, in this order."""
        limits = {each.queue: each for each in self.limits(queues)}
        queued, at_work = self.queued(queues), self.at_work(queues)
        return [
            Queue(limits.get(name, QueueLimits(name)), queued.get(name, 0), at_work.get(name, 0)) for name in queues
        ]

    def _counts(self, counts: Select[Any], table: Any, queues: Sequence[str] | None) -> dict[str, int]:
        if queues is not None:
            counts = counts.where(table.c.queue.in_(queues))
        return {row[0]: int(row[1]) for row in self._connection.execute(counts)}
