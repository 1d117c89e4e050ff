"""Rebuilds the projections from the logs alone, and says where the store has something else.

Each log is folded once more, by the statements that the server itself uses, into a database in memory.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table, create_engine, delete, select, union
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from perdure.runlog.head import RunHead, advance
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.heads import HeadCache, Mark
from perdure_control_plane.storage.projections import Stored
from perdure_control_plane.storage.run_log import identity_of
from perdure_control_plane.storage.sqlite_errors import is_of_the_store
from perdure_control_plane.storage.tables import (
    approvals,
    metadata,
    run_events,
    run_inbox,
    run_queue,
    run_waits,
    runs,
    tasks,
)
from perdure_control_plane.storage.unit_of_work import SqlTransaction, Statements

PROJECTED_TABLES: Final = (runs, run_queue, run_inbox, run_waits, approvals, tasks)
"""Tables whose every column follows from `run_events`."""

RUNS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that the store has and its log does not give. `kept` or `rebuilt` is None where there is no such row."""

    run_id: RunId
    table: str
    key: tuple[Any, ...]
    column: str
    """Empty where the whole row is missing on one side."""
    kept: Any
    rebuilt: Any

    def __str__(self) -> str:
        where = f"{self.table} {'/'.join(map(str, self.key))}"
        if not self.column:
            return f"{where}: {'no log gives this row' if self.rebuilt is None else 'the row is missing'}"
        return f"{where}: {self.column} is {self.kept!r}; the log gives {self.rebuilt!r}"


def run_ids(connection: Connection) -> Iterator[RunId]:
    """Every run that a log or a projection names, in the order of ids."""
    names = union(select(run_events.c.run_id), *(select(table.c.run_id) for table in PROJECTED_TABLES)).subquery()
    after = ""
    while True:
        query = select(names.c.run_id).where(names.c.run_id > after).order_by(names.c.run_id).limit(RUNS_AT_ONCE)
        found = [RunId(row[0]) for row in connection.execute(query)]
        if not found:
            return
        yield from found
        after = found[-1]


class Rebuilder:
    """Rebuilds runs of one store, one at a time."""

    def __init__(self, connection: Connection) -> None:
        """`connection` reads the store; what it reads should be one snapshot."""
        self._kept = connection
        engine = create_engine("sqlite://", poolclass=StaticPool, isolation_level="AUTOCOMMIT")
        metadata.create_all(engine)
        self._scratch = engine.connect()
        self._driver: Any = self._scratch.connection.driver_connection
        if isinstance(self._driver, sqlite3.Connection):
            self._driver.isolation_level = None
        self._statements = Statements(engine.dialect)

    def close(self) -> None:
        """Drops the database in memory."""
        self._scratch.close()
        self._scratch.engine.dispose()

    def differences(self, run_id: RunId) -> list[Difference]:
        """Where the run's rows are not what its log gives.

        Raises IllegalEvent where the log cannot be folded at all.
        """
        self._rebuild(run_id)
        found: list[Difference] = []
        for table in PROJECTED_TABLES:
            kept, rebuilt = _rows(self._kept, table, run_id), _rows(self._scratch, table, run_id)
            for key in sorted({*kept, *rebuilt}):
                found += _compare(run_id, table.name, key, kept.get(key), rebuilt.get(key))
            self._scratch.execute(delete(table))
        return found

    def _rebuild(self, run_id: RunId) -> None:
        query = select(run_events.c.stored_at, run_events.c.lease_id, run_events.c.event)
        log = self._kept.execute(query.where(run_events.c.run_id == run_id).order_by(run_events.c.sequence))
        head = RunHead()
        for stored_at, lease_id, stored in log:
            event = RunEvent.FromString(stored)
            before = Mark.of(head)
            advance(head, event, stored_at, by_holder=lease_id is not None)
            self._store(run_id, before, head, event, stored_at, lease_id)

    def _store(
        self, run_id: RunId, before: Mark, head: RunHead, event: RunEvent, at: int, lease_id: str | None
    ) -> None:
        transaction = SqlTransaction(self._scratch, self._driver, self._statements, HeadCache(), at, is_of_the_store)
        if before.last_sequence == 0:
            transaction.runs.insert(identity_of(run_id, event.run_created, at), head, at)
        else:
            transaction.runs.save(run_id, before, head, at)
        waits, facts = before.open_waits > 0, before.outside_sequence > 0
        stored = Stored(run_id, head.last_sequence, at, lease_id, event, waits, facts)
        transaction.projections.apply(event.WhichOneof("kind") or "", stored)


def _rows(connection: Connection, table: Table, run_id: RunId) -> dict[tuple[Any, ...], dict[str, Any]]:
    key = [column.name for column in table.primary_key]
    found = connection.execute(select(table).where(table.c.run_id == run_id)).mappings()
    return {tuple(row[name] for name in key): dict(row) for row in found}


def _compare(
    run_id: RunId, table: str, key: tuple[Any, ...], kept: dict[str, Any] | None, rebuilt: dict[str, Any] | None
) -> Iterator[Difference]:
    if kept is None or rebuilt is None:
        yield Difference(run_id, table, key, "", None if kept is None else key, None if rebuilt is None else key)
        return
    for column, value in kept.items():
        if value != rebuilt[column] and not _is_the_holders_own(column, kept):
            yield Difference(run_id, table, key, column, value, rebuilt[column])


def _is_the_holders_own(column: str, row: dict[str, Any]) -> bool:
    # Which of its tails a holder sends is between it and the server while it holds the lease, and in no log.
    return column == "tail" and row["lease_id"] is not None
