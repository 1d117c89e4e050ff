"""The log itself: rows of `run_events`, and nothing that is derived from them."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from google.protobuf.message import DecodeError
from sqlalchemy import ARRAY, ColumnElement, Select, Text, bindparam, func, insert, select, true
from sqlalchemy.engine import Connection, Dialect

from perdure.runlog.kinds import KIND_NUMBERS
from perdure.v1.run_events_pb2 import (
    HolderOrigin,
    OutsideOrigin,
    RecordedEvent,
)
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.domain.ids import RunId, SessionId
from perdure_control_plane.domain.origin import Outside
from perdure_control_plane.storage.payloads import Payloads, size_of
from perdure_control_plane.storage.statements import DriverConnection, Prepared, Row
from perdure_control_plane.storage.tables import run_events, runs

FACT_NUMBERS: Final = tuple(
    KIND_NUMBERS[kind] for kind in ("stop_requested", "run_continued", "fact_recorded", "fact_content")
)
"""Kinds that a holder is sent: facts, and what people wrote with them."""

_COLUMNS: Final = tuple(run_events.c)


class RunEventStatements:
    """Statements over `run_events`, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        self.insert: Final = Prepared(insert(run_events), dialect)
        of_run = select(*_COLUMNS).where(run_events.c.run_id == bindparam("run_id"))
        after = of_run.where(run_events.c.sequence > bindparam("after")).order_by(run_events.c.sequence)
        earlier = of_run.where(run_events.c.sequence < bindparam("before"), run_events.c.kind == bindparam("kind"))
        self.last_of_kind: Final = Prepared(earlier.order_by(run_events.c.sequence.desc()).limit(1), dialect)
        self._sends_all: Final = dialect.name == "postgresql"
        piece = self.piece(after.limit(bindparam("limit")), (run_events.c.sequence,), bindparam("max_bytes"))
        self.after: Final = Prepared(piece, dialect)
        self.beginnings: Final = Prepared(self._beginnings(), dialect) if self._sends_all else None

    def _beginnings(self) -> Select[Any]:
        given = func.unnest(bindparam("run_ids", type_=ARRAY(Text))).table_valued("run_id", with_ordinality="number")
        wanted = given.render_derived("wanted")
        first = select(*_COLUMNS).where(run_events.c.run_id == wanted.c.run_id).order_by(run_events.c.sequence)
        of_run = first.limit(bindparam("limit")).lateral("of_run")
        events = select(wanted.c.number, *of_run.c).join(of_run, true())
        return self.piece(events, (wanted.c.number, of_run.c.sequence), bindparam("max_bytes"))

    def piece(self, events: Select[Any], order: Sequence[ColumnElement[Any]], max_bytes: Any) -> Select[Any]:
        """Of a query for events in an order, the first row and those after it that are together not larger.

        SQLite gives rows one by one, and whoever reads them stops in time. PostgreSQL sends them all at once, so it must
        count for itself.
        """
        if not self._sends_all:
            return events
        size = func.octet_length(events.selected_columns["event"])
        counted = events.add_columns(size.label("size"), func.sum(size).over(order_by=order).label("total")).subquery()
        columns = [column for column in counted.c if column.name not in ("size", "total")]
        fits = (counted.c.total <= max_bytes) | (counted.c.total == counted.c.size)
        return select(*columns).where(fits).order_by(counted.c.total)


def holder_row(
    run_id: str, sequence: int, at: int, lease_id: str, epoch: int, ordinal: int, kind: int, stored: bytes
) -> Row:
    """A row for an event that a holder appended; the event is its last value."""
    return (run_id, sequence, at, lease_id, epoch, ordinal, None, None, kind, stored)


def outside_row(run_id: str, sequence: int, at: int, origin: Outside, kind: int, stored: bytes) -> Row:
    """A row for an event that a control plane appended."""
    return (run_id, sequence, at, None, None, None, origin.cause, origin.actor, kind, stored)


def recorded(row: Any) -> RecordedEvent:
    """The event that a whole row holds, as watchers receive it. Raises DataCorrupt."""
    run_id, sequence, at, lease_id, epoch, ordinal, cause, actor, _, stored = row
    message = RecordedEvent(run_id=run_id, sequence=sequence)
    message.stored_time.FromMicroseconds(at)
    try:
        message.event.ParseFromString(stored)
    except DecodeError as error:
        raise DataCorrupt(f"runs/{run_id}", f"event {sequence} is no event: {error}", sequence) from error
    if lease_id is not None:
        message.holder.CopyFrom(HolderOrigin(lease_id=lease_id, epoch=epoch, ordinal=ordinal))
    else:
        message.outside.CopyFrom(OutsideOrigin(cause=cause, actor=actor))
    return message


class RunEvents:
    """Reads the log."""

    def __init__(
        self, connection: Connection, driver: DriverConnection, statements: RunEventStatements, payloads: Payloads
    ) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements
        self._payloads = payloads

    def after(self, run_id: RunId, sequence: int, *, limit: int, max_bytes: int) -> list[RecordedEvent]:
        """Events after a sequence, at most `limit` and, but for the first, `max_bytes` in all."""
        return [event for event, _ in self.stored_after(run_id, sequence, limit=limit, max_bytes=max_bytes)]

    def at(self, run_id: RunId, sequence: int) -> RecordedEvent:
        """One event. Raises DataCorrupt where it is not stored."""
        found = self.after(run_id, sequence - 1, limit=1, max_bytes=1)
        if not found or found[0].sequence != sequence:
            raise DataCorrupt(f"runs/{run_id}", f"event {sequence} is not stored", sequence)
        return found[0]

    def stored_after(
        self, run_id: RunId, sequence: int, *, limit: int, max_bytes: int
    ) -> list[tuple[RecordedEvent, bytes]]:
        """As `after`, each with the event's bytes as they are stored."""
        values = {"run_id": run_id, "after": sequence, "limit": limit, "max_bytes": max_bytes}
        with contextlib.closing(self._statements.after.execute(self._driver, values)) as rows:
            whole = self._payloads.fill(list(_within(rows, max_bytes)))
            return [(recorded(row), row[-1]) for row in whole]

    def beginnings(self, run_ids: Sequence[RunId], *, limit: int, max_bytes: int) -> dict[RunId, list[RecordedEvent]]:
        """The first events of some runs, at most `limit` of each, for as many runs in this order as `max_bytes` suffices.

        A run whose events cannot be read is left out.
        """
        found: dict[RunId, list[RecordedEvent]] = {}
        for run_id, rows in self._beginnings(run_ids, limit, max_bytes):
            # What cannot be read is said where the rest is read: here it would be in the way of the other runs.
            with contextlib.suppress(DataCorrupt):
                found[run_id] = [recorded(row) for row in rows]
        return found

    def _beginnings(self, run_ids: Sequence[RunId], limit: int, max_bytes: int) -> Iterator[tuple[RunId, list[Any]]]:
        if self._statements.beginnings is not None:
            values = {"run_ids": list(run_ids), "limit": limit, "max_bytes": max_bytes}
            rows = self._statements.beginnings.execute(self._driver, values).fetchall()
            for number, of_run in groupby(rows, key=itemgetter(0)):
                yield run_ids[number - 1], [row[1:] for row in of_run]
            return
        room = max_bytes
        for run_id in run_ids:
            values = {"run_id": run_id, "after": 0, "limit": limit, "max_bytes": room}
            with contextlib.closing(self._statements.after.execute(self._driver, values)) as cursor:
                read = list(_within(cursor, room))
            room -= sum(len(row[-1]) for row in read)
            yield run_id, read
            if room <= 0:
                return

    def facts_after(self, run_id: RunId, sequence: int) -> list[RecordedEvent]:
        """Facts after a sequence, with what people wrote."""
        query = (
            select(*_COLUMNS)
            .where(run_events.c.run_id == run_id, run_events.c.sequence > sequence, run_events.c.kind.in_(FACT_NUMBERS))
            .order_by(run_events.c.sequence)
        )
        return self._recorded(self._connection.execute(query).fetchall())

    def of_kinds(self, run_id: RunId, kinds: Iterable[str], *, after: int, limit: int) -> list[RecordedEvent]:
        """Events of some kinds after a sequence, at most `limit`."""
        numbers = [KIND_NUMBERS[kind] for kind in kinds]
        query = (
            select(*_COLUMNS)
            .where(run_events.c.run_id == run_id, run_events.c.sequence > after, run_events.c.kind.in_(numbers))
            .order_by(run_events.c.sequence)
            .limit(limit)
        )
        return self._recorded(self._connection.execute(query).fetchall())

    def last_of_kind_before(self, run_id: RunId, kind: str, sequence: int) -> RecordedEvent | None:
        """The latest event of a kind before a sequence."""
        values = {"run_id": run_id, "before": sequence, "kind": KIND_NUMBERS[kind]}
        found = self._recorded(self._statements.last_of_kind.execute(self._driver, values).fetchall())
        return found[0] if found else None

    def of_session(
        self, session_id: SessionId, after: tuple[int, str, int], *, limit: int, max_bytes: int
    ) -> list[tuple[int, RecordedEvent]]:
        """Events of a session's runs after (run's creation, run id, sequence), each with its run's creation."""
        created_at, run_id, sequence = after
        later_run = (runs.c.created_at > created_at) | ((runs.c.created_at == created_at) & (runs.c.run_id > run_id))
        same_run = (runs.c.run_id == run_id) & (run_events.c.sequence > sequence)
        order = (runs.c.created_at, runs.c.run_id, run_events.c.sequence)
        query = (
            select(runs.c.created_at, *_COLUMNS)
            .join(runs, runs.c.run_id == run_events.c.run_id)
            .where(runs.c.session_id == session_id, later_run | same_run)
            .order_by(*order)
            .limit(limit)
        )
        with contextlib.closing(self._connection.execute(self._statements.piece(query, order, max_bytes))) as rows:
            whole = self._payloads.fill(list(_within(rows, max_bytes)))
            return [(row[0], recorded(row[1:])) for row in whole]

    def _recorded(self, rows: Sequence[Any]) -> list[RecordedEvent]:
        return [recorded(row) for row in self._payloads.fill(rows)]


def _within(rows: Iterable[Any], max_bytes: int) -> Iterator[Any]:
    """The first row, and those after it as long as all of their events together are not larger."""
    total = 0
    for index, row in enumerate(rows):
        total += size_of(row[-1])
        if total > max_bytes and index:
            return
        yield row
