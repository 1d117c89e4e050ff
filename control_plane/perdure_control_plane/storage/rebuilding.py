"""Rebuilds the projections from the logs alone, and says where the store has something else.

Each log is folded once more, by the statements that the server itself uses, into a database in memory.
"""

import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table, create_engine, delete, exists, func, literal, select, union
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from perdure.runlog.head import RunHead, advance
from perdure.runlog.kinds import FIRST_DATA_KIND, KIND_NUMBERS
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.heads import HeadCache, Mark
from perdure_control_plane.storage.payloads import INLINE_BYTES
from perdure_control_plane.storage.projections import Stored
from perdure_control_plane.storage.run_log import identity_of
from perdure_control_plane.storage.sqlite_errors import is_of_the_store
from perdure_control_plane.storage.statements import Change, DriverConnection, execute_changes
from perdure_control_plane.storage.tables import (
    approval_changes,
    approval_events,
    approvals,
    deletions,
    metadata,
    payload_references,
    run_events,
    run_inbox,
    run_messages,
    run_queue,
    run_waits,
    runs,
    tasks,
)
from perdure_control_plane.storage.unit_of_work import SqlTransaction, statements_of

PROJECTED_TABLES: Final = (runs, run_queue, run_inbox, run_waits, approvals, approval_events, tasks, payload_references)
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
    """Every run that a log or a projection names, in the order of ids; not what is left of one that was deleted."""
    deleted = exists().where(deletions.c.name == literal("runs/") + run_events.c.run_id)
    names = union(
        select(run_events.c.run_id).where(~deleted), *(select(table.c.run_id) for table in PROJECTED_TABLES)
    ).subquery()
    after = ""
    while True:
        query = select(names.c.run_id).where(names.c.run_id > after).order_by(names.c.run_id).limit(RUNS_AT_ONCE)
        found = [RunId(row[0]) for row in connection.execute(query)]
        if not found:
            return
        yield from found
        after = found[-1]


def count_events(connection: Connection) -> int:
    """How many events there are, as the rows of their runs say."""
    return int(connection.execute(select(func.coalesce(func.sum(runs.c.last_sequence), 0))).scalar_one())


class Rebuilder:
    """Rebuilds runs of one store: each log is folded into the database in memory, and then several are compared at once."""

    def __init__(self, connection: Connection) -> None:
        """`connection` reads the store; what it reads should be one snapshot."""
        self._kept = connection
        engine = create_engine("sqlite://", poolclass=StaticPool, isolation_level="AUTOCOMMIT")
        metadata.create_all(engine, checkfirst=False)
        self._scratch = engine.connect()
        driver: Any = self._scratch.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            driver.isolation_level = None
        self._driver: DriverConnection = driver
        statements = statements_of(engine.dialect)
        self._transaction = SqlTransaction(self._scratch, driver, statements, HeadCache(), 0, is_of_the_store)

    def close(self) -> None:
        """Drops the database in memory."""
        self._scratch.close()
        self._scratch.engine.dispose()

    def rebuild(self, run_id: RunId) -> "Rebuilding":
        """Begins to rebuild a run."""
        return Rebuilding(self._transaction, self._driver, run_id)

    def differences(self, run_ids: Collection[RunId]) -> list[Difference]:
        """Where the rows of these runs, which were rebuilt, are not what their logs give; then they are forgotten."""
        found: list[Difference] = []
        for table in PROJECTED_TABLES:
            kept, rebuilt = _rows(self._kept, table, run_ids), _rows(self._scratch, table, run_ids)
            for key in sorted({*kept, *rebuilt}):
                found += _compare(table.name, key, kept.get(key), rebuilt.get(key))
            self._scratch.execute(delete(table))
        for told in (run_messages, approval_changes):
            self._scratch.execute(delete(told))
        return found


class Rebuilding:
    """One run on its way into the database in memory."""

    def __init__(self, transaction: SqlTransaction, driver: DriverConnection, run_id: RunId) -> None:
        self._transaction = transaction
        self._driver = driver
        self._run_id = run_id
        self._head = RunHead()
        self._saved = Mark.of(self._head)
        self._at = 0

    def take(self, event: RunEvent, at: int, lease_id: str | None) -> None:
        """Folds the next event. Raises IllegalEvent where it cannot follow."""
        head, self._at = self._head, at
        waits, facts, child, children = head.open_waits > 0, head.outside_sequence > 0, head.child, head.children > 0
        advance(head, event, at, by_holder=lease_id is not None)
        kind = event.WhichOneof("kind") or ""
        changes: list[Change] = []
        if event.ByteSize() > INLINE_BYTES:
            changes += self._transaction.projections.payloads.named(self._run_id, event.SerializeToString())
        if head.last_sequence == 1:
            self._transaction.runs.insert(identity_of(self._run_id, event.run_created, at), head)
            self._saved = Mark.of(head)
        elif kind not in _COUNTED_ONLY:
            self._save()
        stored = Stored(self._run_id, head.last_sequence, at, lease_id, event, waits, facts, child, children)
        execute_changes(self._driver, [[*changes, *self._transaction.projections.changes(kind, stored)]])

    def finish(self) -> None:
        """Stores the row as the last event leaves it."""
        if self._head.last_sequence:
            self._save()

    def _save(self) -> None:
        self._transaction.runs.save(self._run_id, self._saved, self._head, self._at)
        self._saved = Mark.of(self._head)


_COUNTED_ONLY: Final = frozenset({
    "node_started", "node_settled", *(kind for kind, number in KIND_NUMBERS.items() if number >= FIRST_DATA_KIND),
})  # fmt: skip
"""Kinds of events that leave a run in its state: its row is stored with the next event that may not, or the last."""


def _rows(
    connection: Connection, table: Table, run_ids: Collection[RunId]
) -> dict[tuple[RunId, tuple[Any, ...]], dict[str, Any]]:
    key = [column.name for column in table.primary_key]
    found = connection.execute(select(table).where(table.c.run_id.in_(run_ids))).mappings()
    return {(row["run_id"], tuple(row[name] for name in key)): dict(row) for row in found}


def _compare(
    table: str, place: tuple[RunId, tuple[Any, ...]], kept: dict[str, Any] | None, rebuilt: dict[str, Any] | None
) -> Iterator[Difference]:
    run_id, key = place
    if kept is None or rebuilt is None:
        yield Difference(run_id, table, key, "", None if kept is None else key, None if rebuilt is None else key)
        return
    for column, value in kept.items():
        if value != rebuilt[column] and not _is_the_holders_own(column, kept):
            yield Difference(run_id, table, key, column, value, rebuilt[column])


def _is_the_holders_own(column: str, row: dict[str, Any]) -> bool:
    # Which of its tails a holder sends is between it and the server while it holds the lease, and in no log.
    return column == "tail" and row["lease_id"] is not None
