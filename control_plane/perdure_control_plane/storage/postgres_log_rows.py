"""Rows of runs and logs on PostgreSQL: one statement for however many runs.

A statement is told values as arrays, one for each column. It locks the rows that are where they must be, passes over those
that another transaction is writing to, and says which rows it has stored.

For a single run there is a statement with values in place of arrays: the database then knows that it is for one row, and
keeps the plan. A plan for arrays it makes anew each time, which takes longer than to carry it out for one run.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    Table,
    TableValuedAlias,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.engine import Dialect

from perdure.runlog.head import RunHead
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.log_rows import Move
from perdure_control_plane.storage.run_events import RunEventStatements
from perdure_control_plane.storage.run_rows import APPENDED_COLUMNS, HEAD_COLUMNS, appended_row, head_from, head_row
from perdure_control_plane.storage.statements import LazyConnection, Prepared, Row
from perdure_control_plane.storage.tables import run_events, runs

_GUARD: Final = ("run_id", "last_sequence", "epoch", "next_ordinal")
"""Columns that say where a row must be."""
_HELD: Final = (*_GUARD, "lease_id")
"""The same, with the lease. Of a holder's events they give the origin."""

_EVENT: Final = tuple(column.name for column in run_events.c if column.name != "run_id")
_STORED_AT: Final = run_events.c.keys().index("stored_at")
_HELD_EVENT: Final = ("sequence", "kind", "event")
"""What has to be given for each event, where its run's row gives the rest."""


class PostgresLogStatements:
    """The statements, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        self.append: Final = _MoveStatement(APPENDED_COLUMNS, _HELD, _HELD_EVENT, dialect)
        self.append_one: Final = _OneMoveStatement(APPENDED_COLUMNS, _HELD, _HELD_EVENT, dialect)
        self.save: Final = _MoveStatement(HEAD_COLUMNS, _GUARD, _EVENT, dialect)
        self.save_one: Final = _OneMoveStatement(HEAD_COLUMNS, _GUARD, _EVENT, dialect)
        self.heads: Final = Prepared(_heads(), dialect)


class PostgresLogRows:
    """A statement for the moves of holders' batches that changed little, and one for all others."""

    def __init__(self, driver: LazyConnection, statements: PostgresLogStatements, events: RunEventStatements) -> None:
        self._driver = driver
        self._statements = statements
        self._events = events

    def heads(self, run_ids: Sequence[RunId]) -> dict[RunId, RunHead | None]:
        """Heads as they are now, which nobody moves before this transaction ends.

        None for a run that another transaction is writing to at this moment; runs that do not exist are left out.
        """
        rows = self._statements.heads.execute_row(self._driver, (list(run_ids),))
        return {row[0]: None if row[1] is None else head_from(row[1:]) for row in rows}

    def store(self, moves: Sequence[Move], *, alone: bool) -> Collection[RunId]:
        """Stores heads and events of the moves whose rows are where they must be, and returns those runs.

        A row that another transaction is writing to is not waited for. `alone` says that the whole commit is this: it may
        be committed at once.
        """
        small = [move for move in moves if not move.whole]
        whole = [move for move in moves if move.whole]
        stored: list[RunId] = []
        if small:
            rows = [(*_guard(move), move.before.lease_id, *appended_row(move.after)) for move in small]
            statement = self._statements.append_one if len(small) == 1 else self._statements.append
            stored += self._execute(statement, rows, small, alone=alone)
        if whole:
            rows = [_guard(move) + head_row(move.after) for move in whole]
            statement = self._statements.save_one if len(whole) == 1 else self._statements.save
            stored += self._execute(statement, rows, whole, alone=alone)
        return stored

    def _execute(
        self,
        statement: "_MoveStatement | _OneMoveStatement",
        rows: Sequence[Row],
        moves: Sequence[Move],
        *,
        alone: bool,
    ) -> list[RunId]:
        columns = statement.parameters(rows, moves)
        execute = statement.prepared.execute_alone if alone else statement.prepared.execute_row
        return [row[0] for row in execute(self._driver, columns)]

    def insert_events(self, events: Sequence[Row]) -> None:
        """Stores events whose run was created in this transaction."""
        self._events.insert.execute_rows(self._driver, events)


def _guard(move: Move) -> Row:
    before = move.before
    return (move.run_id, before.last_sequence, before.epoch, before.next_ordinal)


class _MoveStatement:
    """Moves rows of runs that are where their guard says, inserts their events, and returns those runs.

    Its parameters are arrays: the guard's values, those of the columns, and then, for each event, the number of its run
    among them, counted from 1, and the columns of its row that are given.
    """

    def __init__(self, columns: Sequence[str], guard: Sequence[str], event: Sequence[str], dialect: Dialect) -> None:
        likes, events = _likes(columns, guard), {"of_run": "sequence"} | {name: name for name in event}
        given = _given("given", runs, likes), _given("events", run_events, events)
        self.prepared: Final = Prepared(_move(columns, guard, event, *given), dialect)
        self._names = _names("given", likes) + _names("events", events)
        self._numbers = [_is_number(runs, like) for like in likes.values()]
        self._numbers += [_is_number(run_events, like) for like in events.values()]
        self._pick = _picker(event)

    def parameters(self, given: Sequence[Row], moves: Sequence[Move]) -> Row:
        """An array for each column of those rows, and of the moves' events, in the order that the statement takes them."""
        events = [(number, *self._pick(row)) for number, move in enumerate(moves, 1) for row in move.events]
        arrays = map(_array, self._numbers, chain(zip(*given, strict=True), zip(*events, strict=True)))
        values: dict[str, Any] = dict(zip(self._names, arrays, strict=True))
        values["stored_at"] = moves[0].events[0][_STORED_AT]
        return self.prepared.parameters(values)


class _OneMoveStatement:
    """The same for one run: only what is given for its events are arrays."""

    def __init__(self, columns: Sequence[str], guard: Sequence[str], event: Sequence[str], dialect: Dialect) -> None:
        given = _given_once("given", runs, _likes(columns, guard))
        events = _given("events", run_events, {name: name for name in event})
        self.prepared: Final = Prepared(_move(columns, guard, event, given, events), dialect)
        self._names = _names("given", _likes(columns, guard)) + _names("events", event)
        self._numbers = [_is_number(run_events, name) for name in event]
        self._pick = _picker(event)

    def parameters(self, given: Sequence[Row], moves: Sequence[Move]) -> Row:
        """That row's values, and an array for each column of the move's events, in the statement's order."""
        ((row,), (move,)) = given, moves
        events = map(_array, self._numbers, zip(*map(self._pick, move.events), strict=True))
        values: dict[str, Any] = dict(zip(self._names, (*row, *events), strict=True))
        values["stored_at"] = move.events[0][_STORED_AT]
        return self.prepared.parameters(values)


def _likes(columns: Sequence[str], guard: Sequence[str]) -> dict[str, str]:
    """What is given for a run, each with the column of `runs` that it is like."""
    return {f"where_{name}": name for name in guard} | {name: name for name in columns}


def _names(given: str, names: Iterable[str]) -> list[str]:
    return [f"{given}_{name}" for name in names]


def _picker(event: Sequence[str]) -> Callable[[Row], Row]:
    return itemgetter(*(run_events.c.keys().index(name) for name in event))


def _move(
    columns: Sequence[str], guard: Sequence[str], event: Sequence[str], given: FromClause, events: FromClause
) -> Select[Any]:
    in_place = [runs.c[name] == given.c[f"where_{name}"] for name in guard]
    locked = select(runs.c.run_id).where(*in_place).with_for_update(key_share=True, skip_locked=True).lateral("locked")
    free = select(given).join(locked, true()).cte("free")
    moved = (
        update(runs)
        .where(runs.c.run_id == free.c.where_run_id)
        .values({name: free.c[name] for name in columns})
        .returning(runs.c.run_id, free.c.number, *(free.c[f"where_{name}"] for name in guard))
        .cte("moved")
    )
    values: dict[str, ColumnElement[Any]] = {"run_id": moved.c.run_id} | {name: events.c[name] for name in event}
    if "lease_id" in guard:
        values["stored_at"] = bindparam("stored_at", type_=BigInteger)
        values["lease_id"], values["epoch"] = moved.c.where_lease_id, moved.c.where_epoch
        values["ordinal"] = moved.c.where_next_ordinal + events.c.sequence - moved.c.where_last_sequence - 1
    of_run = moved.c.number == events.c.of_run if "of_run" in events.c else true()
    stored = insert(run_events).from_select(list(values), select(*values.values()).join(moved, of_run)).cte("stored")
    return select(moved.c.run_id).add_cte(stored)


def _given_once(name: str, table: Table, columns: Mapping[str, str]) -> Subquery:
    """One row of values; each column has the type of one of the table's."""
    values = [bindparam(f"{name}_{own}", type_=table.c[like].type).label(own) for own, like in columns.items()]
    return select(*values, literal_column("1").label("number")).subquery(name)


def _given(name: str, table: Table, columns: Mapping[str, str]) -> TableValuedAlias:
    """Rows of values from arrays, numbered from 1; each column has the type of one of the table's."""
    arrays = [_parameter(f"{name}_{own}", table, like) for own, like in columns.items()]
    typed = [column(own, table.c[like].type) for own, like in columns.items()]
    return func.unnest(*arrays).table_valued(*typed, with_ordinality="number", name=name).render_derived()


def _parameter(name: str, table: Table, like: str) -> ColumnElement[Any]:
    array = ARRAY(table.c[like].type.as_generic())
    return cast(bindparam(name, type_=Text), array) if _is_number(table, like) else bindparam(name, type_=array)


def _is_number(table: Table, column: str) -> bool:
    """Whether an array of the column's values is told as text: the driver takes each number in hand several times."""
    return isinstance(table.c[column].type, Integer) and not table.c[column].nullable


def _array(number: bool, values: Sequence[Any]) -> Any:
    return f"{{{','.join(map(str, values))}}}" if number else list(values)


def _heads() -> Select[Any]:
    """Of the rows that are named, the ids of all, and the heads of those that nobody else is writing to."""
    wanted = runs.c.run_id == any_(bindparam("run_ids", type_=ARRAY(Text)))
    free = (
        select(runs.c.run_id, *(runs.c[name] for name in HEAD_COLUMNS))
        .where(wanted)
        .order_by(runs.c.run_id)
        .with_for_update(key_share=True, skip_locked=True)
        .cte("free")
    )
    heads = [free.c[name] for name in HEAD_COLUMNS]
    return select(runs.c.run_id, *heads).outerjoin(free, free.c.run_id == runs.c.run_id).where(wanted)
