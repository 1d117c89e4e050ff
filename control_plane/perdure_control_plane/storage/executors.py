"""Executors and their leases."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Text, bindparam, cast, delete, func, insert, literal_column, select, update
from sqlalchemy.engine import Connection, Dialect

from perdure.runlog.states import RunState
from perdure_control_plane.domain.executor import Executor, ListedExecutor
from perdure_control_plane.domain.ids import Incarnation
from perdure_control_plane.storage.lists import pack, unpack
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import executors, queue_limits, runs

_COLUMNS: Final = tuple(executors.c.keys())


class ExecutorStatements:
    """Statements over `executors`, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        current = (executors.c.incarnation == bindparam("where_incarnation")) & (
            executors.c.stream_number == bindparam("where_stream_number")
        )
        renewal: dict[str, Any] = {"lease_until": bindparam("lease_until"), "renewed_at": bindparam("renewed_at")}
        self.renew: Final = Prepared(update(executors).where(current).values(renewal), dialect)
        live = executors.c.lease_until > bindparam("at")
        listed = func.string_agg if dialect.name == "postgresql" else func.group_concat
        zero: Any = literal_column("0")
        limited = (queue_limits.c.rate_runs > zero) | (queue_limits.c.max_at_work > zero)
        next_of = queue_limits.c.queue + literal_column("' '") + cast(queue_limits.c.next_at, Text)
        limits = select(func.coalesce(listed(next_of, literal_column("','")), literal_column("''"))).where(limited)
        # What an executor is handed under a stream is committed before it can open a newer one.
        query = select(*executors.c, limits.scalar_subquery()).where(current, live).with_for_update(read=True)
        self.live: Final = Prepared(query, dialect)


class Executors:
    """Keeps executors."""

    def __init__(self, connection: Connection, driver: DriverConnection, statements: ExecutorStatements) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements

    def say_hello(self, executor: Executor) -> int:
        """Stores an executor that opened a stream and returns the stream's number, higher than any before."""
        row = self._connection.execute(select(executors.c.stream_number).where(_is(executor.incarnation))).first()
        number = 1 if row is None else row[0] + 1
        values = _values(executor) | {"stream_number": number}
        if row is None:
            self._connection.execute(insert(executors).values(values))
        else:
            self._connection.execute(update(executors).where(_is(executor.incarnation)).values(values))
        return number

    def renew(self, incarnation: Incarnation, stream_number: int, until: int, at: int) -> bool:
        """Renews a lease. False where the stream is no longer the executor's latest."""
        row = (until, at, incarnation, stream_number)
        return self._statements.renew.execute_row(self._driver, row).rowcount == 1

    def live(self, incarnation: Incarnation, stream_number: int, at: int) -> tuple[Executor, dict[str, int]] | None:
        """The executor, if its lease runs and the stream is its latest; and the queues with a rate or a limit of runs at
        work, each with the time from which its rate hands out the next run."""
        row = self._statements.live.execute_row(self._driver, (incarnation, stream_number, at)).fetchone()
        if row is None:
            return None
        limits = (each.split() for each in row[-1].split(",") if each)
        return _executor(row[:-1]), {queue: int(next_at) for queue, next_at in limits}

    def say_goodbye(self, incarnation: Incarnation, at: int) -> None:
        """Ends an executor's lease at once."""
        self._connection.execute(update(executors).where(_is(incarnation)).values(lease_until=at))

    def lease_until(self, incarnation: Incarnation) -> int:
        """Until when an executor's lease runs, or ran; 0 where it is forgotten."""
        until: int | None = self._connection.scalar(select(executors.c.lease_until).where(_is(incarnation)))
        return until or 0

    def keep(self, incarnation: Incarnation) -> None:
        """Lets nobody renew an executor's lease before this transaction ends."""
        self._connection.execute(select(executors.c.incarnation).where(_is(incarnation)).with_for_update(read=True))

    def live_providers(self, at: int) -> Sequence[tuple[str, ...]]:
        """The providers of each executor whose lease runs."""
        query = select(executors.c.providers).where(executors.c.lease_until > at)
        return [unpack(providers) for (providers,) in self._connection.execute(query)]

    def page(self, after: tuple[str, str], at: int, limit: int) -> list[ListedExecutor]:
        """Executors by name and process, after a (name, process); `at` is when those that live are alive."""
        held = (
            select(runs.c.incarnation, func.count().label("held"))
            .where(runs.c.state == RunState.RUNNING.value)
            .group_by(runs.c.incarnation)
            .subquery()
        )
        later = executors.c.executor_id > after[0]
        same_name = (executors.c.executor_id == after[0]) & (executors.c.incarnation > after[1])
        query = (
            select(*executors.c, executors.c.lease_until > at, func.coalesce(held.c.held, 0))
            .outerjoin(held, held.c.incarnation == executors.c.incarnation)
            .where(later | same_name)
            .order_by(executors.c.executor_id, executors.c.incarnation)
            .limit(limit)
        )
        rows = self._connection.execute(query)
        return [ListedExecutor(_executor(row[:-2]), bool(row[-2]), row[-1]) for row in rows]

    def forget_gone(self, before: int) -> None:
        """Drops executors that have been gone since before a time and hold nothing."""
        holding = select(runs.c.incarnation).where(runs.c.state == RunState.RUNNING.value)
        gone = (executors.c.lease_until < before) & executors.c.incarnation.not_in(holding)
        self._connection.execute(delete(executors).where(gone))


def _is(incarnation: Incarnation) -> Any:
    return executors.c.incarnation == incarnation


def _values(executor: Executor) -> dict[str, Any]:
    return {
        "incarnation": executor.incarnation,
        "executor_id": executor.executor_id,
        "lease_until": executor.lease_until,
        "renewed_at": executor.renewed_at,
        "node_kinds": pack(executor.node_kinds),
        "queues": pack(executor.queues),
        "providers": pack(executor.providers),
        "labels": pack(executor.labels),
        "fold_lowest": executor.fold_lowest,
        "fold_highest": executor.fold_highest,
        "slots": executor.slots,
        "version": executor.version,
    }


def _executor(row: Any) -> Executor:
    values = dict(zip(_COLUMNS, row, strict=True))
    for name in ("node_kinds", "queues", "providers", "labels"):
        values[name] = unpack(values[name])
    return Executor(**values)
