"""Rows of runs and logs on PostgreSQL: one statement for however many runs.

A statement is told values as arrays, one for each column. It locks the rows that are where they must be, passes over those
that another transaction is writing to, and says which rows it has stored.

For a single run there is a statement with values in place of arrays: the database then knows that it is for one row, and
keeps the plan. A plan for arrays it makes anew each time, which takes longer than to carry it out for one run.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Text,
    any_,
    bindparam,
    delete,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.engine import Dialect

from perdure.runlog.head import RunHead
from perdure.runlog.states import RunState
from perdure_control_plane.domain.flow import Flow
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run import RunIdentity
from perdure_control_plane.domain.task import TaskState, TerminalReason
from perdure_control_plane.storage.log_rows import Move
from perdure_control_plane.storage.postgres_creation import BeginningStatement, CreationStatement
from perdure_control_plane.storage.postgres_given import (
    EVENT_COLUMNS,
    array,
    is_number,
    picker,
    row_given,
    rows_given,
    value_names,
)
from perdure_control_plane.storage.run_rows import APPENDED_COLUMNS, HEAD_COLUMNS, appended_row, head_from, head_row
from perdure_control_plane.storage.statements import LazyConnection, Prepared, Row
from perdure_control_plane.storage.tables import assignments, run_events, run_queue, runs, tasks

_GUARD: Final = ("run_id", "last_sequence", "epoch", "next_ordinal", "tail")
"""Columns that say where a row must be."""
_HELD: Final = (*_GUARD, "lease_id")
"""The same, with the lease. Of a holder's events they give the origin."""

_STORED_AT: Final = run_events.c.keys().index("stored_at")
_HELD_EVENT: Final = ("sequence", "kind", "event")
"""What has to be given for each event, where its run's row gives the rest."""


class PostgresLogStatements:
    """The statements, compiled once."""

    def __init__(self, dialect: Dialect, unassign: Prepared, dequeue: Prepared, lose_tasks: Prepared) -> None:
        """Those are the changes that whole moves carry out themselves; done once more, they change nothing."""
        self._carried: Final = frozenset({unassign, dequeue, lose_tasks})
        self._carried_while_running: Final = frozenset({unassign, dequeue})
        self.append: Final = _MoveStatement(APPENDED_COLUMNS, _HELD, _HELD_EVENT, dialect)
        self.append_one: Final = _OneMoveStatement(APPENDED_COLUMNS, _HELD, _HELD_EVENT, dialect)
        self.save: Final = _MoveStatement(HEAD_COLUMNS, _GUARD, EVENT_COLUMNS, dialect)
        self.save_one: Final = _OneMoveStatement(HEAD_COLUMNS, _GUARD, EVENT_COLUMNS, dialect)
        self.heads: Final = Prepared(_heads(), dialect)
        self.create: Final = CreationStatement(dialect)
        self.begin: Final = BeginningStatement(dialect)

    def carry_out(self, move: Move) -> bool:
        """Whether a whole move carries all its changes out: it goes by the state that the run has moved to."""
        carried = self._carried_while_running if move.after.state is RunState.RUNNING else self._carried
        return carried.issuperset(change.statement for change in move.changes)


class PostgresLogRows:
    """A statement for the moves of holders' batches that changed little, and one for all others."""

    def __init__(self, driver: LazyConnection, statements: PostgresLogStatements) -> None:
        self._driver = driver
        self._statements = statements

    def heads(self, run_ids: Sequence[RunId]) -> dict[RunId, RunHead | None]:
        """Heads as they are now, which nobody moves before this transaction ends.

        None for a run that another transaction is writing to at this moment; runs that do not exist are left out.
        """
        rows = self._statements.heads.execute_row(self._driver, (list(run_ids),))
        return {row[0]: None if row[1] is None else head_from(row[1:]) for row in rows}

    def store(self, moves: Sequence[Move], *, alone: bool) -> Collection[RunId]:
        """Stores heads and events of the moves whose rows are where they must be, and returns those runs.

        A row that another transaction is writing to is not waited for. `alone` says that the whole commit is this, and what
        follows: it may be committed at once where the same statement does that, too.
        """
        small = [move for move in moves if not move.whole]
        whole = [move for move in moves if move.whole]
        for move in whole:
            if self._statements.carry_out(move):
                move.changes.clear()
        alone = alone and not any(move.changes for move in moves)
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

    def create(self, run: RunIdentity, move: Move) -> None:
        """Stores a new run with its first events and its place in the queue."""
        statement = self._statements.create
        statement.prepared.execute_row(self._driver, statement.parameters(run, move))

    def begin(self, run: RunIdentity, move: Move, flow: Flow, audited: Row) -> None:
        """Stores a flow, its root run as `create` does, and the audit event of its start.

        Where the move has no changes left it is committed at once, if no transaction has begun.
        """
        statement = self._statements.begin
        execute = statement.prepared.execute_row if move.changes else statement.prepared.execute_alone
        execute(self._driver, statement.parameters(run, move, flow, audited))


def _guard(move: Move) -> Row:
    before = move.before
    return (move.run_id, before.last_sequence, before.epoch, before.next_ordinal, before.tail)


class _MoveStatement:
    """Moves rows of runs that are where their guard says, inserts their events, and returns those runs.

    Its parameters are arrays: the guard's values, those of the columns, and then, for each event, the number of its run
    among them, counted from 1, and the columns of its row that are given.
    """

    def __init__(self, columns: Sequence[str], guard: Sequence[str], event: Sequence[str], dialect: Dialect) -> None:
        likes, events = _likes(columns, guard), {"of_run": "sequence"} | {name: name for name in event}
        given = rows_given("given", runs, likes), rows_given("events", run_events, events)
        self.prepared: Final = Prepared(_move(columns, guard, event, *given), dialect)
        self._names = value_names("given", likes) + value_names("events", events)
        self._numbers = [is_number(runs, like) for like in likes.values()]
        self._numbers += [is_number(run_events, like) for like in events.values()]
        self._event = len(events)
        self._pick = picker(event)

    def parameters(self, given: Sequence[Row], moves: Sequence[Move]) -> Row:
        """An array for each column of those rows, and of the moves' events, in the order that the statement takes them."""
        events = [(number, *self._pick(row)) for number, move in enumerate(moves, 1) for row in move.events]
        arrays = map(array, self._numbers, chain(zip(*given, strict=True), _columns(events, self._event)))
        values: dict[str, Any] = dict(zip(self._names, arrays, strict=True))
        values["stored_at"] = _stored_at(moves)
        return self.prepared.parameters(values)


class _OneMoveStatement:
    """The same for one run: only what is given for its events are arrays."""

    def __init__(self, columns: Sequence[str], guard: Sequence[str], event: Sequence[str], dialect: Dialect) -> None:
        given = row_given("given", runs, _likes(columns, guard))
        events = rows_given("events", run_events, {name: name for name in event})
        self.prepared: Final = Prepared(_move(columns, guard, event, given, events), dialect)
        self._names = value_names("given", _likes(columns, guard)) + value_names("events", event)
        self._numbers = [is_number(run_events, name) for name in event]
        self._pick = picker(event)

    def parameters(self, given: Sequence[Row], moves: Sequence[Move]) -> Row:
        """That row's values, and an array for each column of the move's events, in the statement's order."""
        ((row,), (move,)) = given, moves
        events = map(array, self._numbers, _columns(list(map(self._pick, move.events)), len(self._numbers)))
        values: dict[str, Any] = dict(zip(self._names, (*row, *events), strict=True))
        values["stored_at"] = _stored_at(moves)
        return self.prepared.parameters(values)


def _columns(events: Sequence[Row], number: int) -> Iterable[Row]:
    """The values of events by column; a move may have none."""
    return zip(*events, strict=True) if events else [()] * number


def _stored_at(moves: Sequence[Move]) -> int:
    return next((event[_STORED_AT] for move in moves for event in move.events), 0)


def _likes(columns: Sequence[str], guard: Sequence[str]) -> dict[str, str]:
    """What is given for a run, each with the column of `runs` that it is like."""
    return {f"where_{name}": name for name in guard} | {name: name for name in columns}


def _move(
    columns: Sequence[str], guard: Sequence[str], event: Sequence[str], given: FromClause, events: FromClause
) -> Select[Any]:
    in_place = [runs.c[name] == given.c[f"where_{name}"] for name in guard]
    locked = select(runs.c.run_id).where(*in_place).with_for_update(key_share=True, skip_locked=True).lateral("locked")
    free = select(given).join(locked, true()).cte("free")
    told = [runs.c.state] if "state" in columns else []
    moved = (
        update(runs)
        .where(runs.c.run_id == free.c.where_run_id)
        .values({name: free.c[name] for name in columns})
        .returning(runs.c.run_id, *told, free.c.number, *(free.c[f"where_{name}"] for name in guard))
        .cte("moved")
    )
    values: dict[str, ColumnElement[Any]] = {"run_id": moved.c.run_id} | {name: events.c[name] for name in event}
    if "lease_id" in guard:
        values["stored_at"] = bindparam("stored_at", type_=BigInteger)
        values["lease_id"], values["epoch"] = moved.c.where_lease_id, moved.c.where_epoch
        values["ordinal"] = moved.c.where_next_ordinal + events.c.sequence - moved.c.where_last_sequence - 1
    of_run = moved.c.number == events.c.of_run if "of_run" in events.c else true()
    stored = insert(run_events).from_select(list(values), select(*values.values()).join(moved, of_run)).cte("stored")
    return select(moved.c.run_id).add_cte(stored, *(_following(moved) if "state" in columns else ()))


def _following(moved: CTE) -> Iterable[CTE]:
    """What follows from the states that runs have moved to, whatever they were in."""
    not_running, not_queued = _not_in(moved, RunState.RUNNING), _not_in(moved, RunState.QUEUED)
    yield delete(assignments).where(assignments.c.run_id == not_running).cte("unassigned")
    yield delete(run_queue).where(run_queue.c.run_id == not_queued).cte("dequeued")
    lost = {"state": TaskState.FAILED.value, "terminal_reason": TerminalReason.EXECUTOR_LOST.value}
    lost_at = {"ended_at": bindparam("stored_at", type_=BigInteger)}
    begun = tasks.c.state == TaskState.RUNNING.value
    yield update(tasks).where(tasks.c.run_id == not_running, begun).values(lost | lost_at).cte("lost")


def _not_in(moved: CTE, state: RunState) -> ColumnElement[Any]:
    """Any of the runs that are not in a state. As an array it is looked up over a key, however small a table once was."""
    others = select(moved.c.run_id).where(moved.c.state != state.value).scalar_subquery()
    return any_(func.array(others, type_=ARRAY(Text)))


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
