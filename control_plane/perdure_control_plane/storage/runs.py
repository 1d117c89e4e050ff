"""Run rows: heads as they are saved with the log, and the queries over runs."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Connection, Dialect

from perdure.runlog.head import RunHead
from perdure.runlog.places import Place
from perdure.runlog.states import OVER, RunState
from perdure_control_plane.domain.ids import FlowId, RunId
from perdure_control_plane.domain.inbox import WaitKind, WaitState
from perdure_control_plane.domain.queries import RunCondition, RunFilter
from perdure_control_plane.domain.run import Run, RunIdentity
from perdure_control_plane.storage.deletions import missing
from perdure_control_plane.storage.heads import Mark
from perdure_control_plane.storage.places import wants_a_place_in_vain
from perdure_control_plane.storage.queue_limits import exhausted
from perdure_control_plane.storage.run_rows import (
    APPENDED_COLUMNS,
    HEAD_COLUMNS,
    RUN_COLUMNS,
    appended_row,
    head_from,
    head_row,
    identity_row,
    run_from,
)
from perdure_control_plane.storage.statements import Change, DriverConnection, Prepared, Row, execute_changes
from perdure_control_plane.storage.tables import assignments, run_queue, run_waits, runs

ZERO: Final[ColumnElement[int]] = literal_column("0")
"""Zero as it stands in the conditions of partial indexes; a bound value would not be recognised there."""

_RUNNING: Final = RunState.RUNNING.value
_UNENDED: Final = tuple(state.value for state in (RunState.QUEUED, RunState.RUNNING, RunState.PAUSED))


def _awaits(kind: WaitKind) -> ColumnElement[bool]:
    # Only runs that have not ended have open waits. Said with their states, of which there is an index.
    wait = (run_waits.c.run_id == runs.c.run_id) & (run_waits.c.state == WaitState.OPEN.value)
    waits = exists().where(wait, run_waits.c.kind == kind.value)
    return runs.c.state.in_(_UNENDED) & (runs.c.open_waits > ZERO) & waits


_CONDITIONS: Final = {
    RunCondition.HELD: runs.c.holds > ZERO,
    RunCondition.IN_DOUBT: runs.c.in_doubt > ZERO,
    RunCondition.AWAITS_DECISION: _awaits(WaitKind.APPROVAL),
    RunCondition.AWAITS_TIME: _awaits(WaitKind.TIMER),
    RunCondition.AWAITS_SIGNAL: _awaits(WaitKind.SIGNAL),
    RunCondition.BACKS_OFF: _awaits(WaitKind.BACKOFF),
}

_AT: Final = bindparam("at", 0, type_=BigInteger)
_IN_VAIN: Final = wants_a_place_in_vain(runs) & (runs.c.place == literal_column(str(int(Place.WANTED))))
_CONDITIONS[RunCondition.LIMITED] = (runs.c.state == RunState.QUEUED.value) & (
    _IN_VAIN | runs.c.queue.in_(exhausted(_AT))
)

_COLUMNS: Final = [runs.c[name] for name in RUN_COLUMNS]


class RunStatements:
    """Statements over `runs` and what hangs on a run's state, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        by_id = runs.c.run_id == bindparam("where_run_id")
        unchanged = (
            (runs.c.last_sequence == bindparam("where_last_sequence"))
            & (runs.c.epoch == bindparam("where_epoch"))
            & (runs.c.next_ordinal == bindparam("where_next_ordinal"))
            & (runs.c.tail == bindparam("where_tail"))
        )
        self.insert: Final = Prepared(insert(runs), dialect)
        self.get: Final = Prepared(select(*_COLUMNS).where(by_id), dialect)
        self.lock: Final = Prepared(select(*_COLUMNS).where(by_id).with_for_update(key_share=True), dialect)
        # Where others write at the same time, nobody moves the row between this and the statement that follows from it.
        head = select(*(runs.c[name] for name in HEAD_COLUMNS)).where(by_id).with_for_update(key_share=True)
        self.head: Final = Prepared(head, dialect)
        self.save: Final = Prepared(update(runs).where(by_id, unchanged).values(_bound(HEAD_COLUMNS)), dialect)
        held = (runs.c.state == RunState.RUNNING.value) & (runs.c.lease_id == bindparam("where_lease_id"))
        appended = update(runs).where(by_id, held, unchanged).values(_bound(APPENDED_COLUMNS))
        self.append: Final = Prepared(appended, dialect)
        into_queue = select(*queue_source(runs, bindparam("ready_at", type_=BigInteger))).where(by_id)
        self.enqueue: Final = Prepared(
            insert(run_queue).from_select([column.name for column in run_queue.c], into_queue), dialect
        )
        self.dequeue: Final = Prepared(
            delete(run_queue).where(run_queue.c.run_id == bindparam("where_run_id")), dialect
        )
        self.unassign: Final = Prepared(
            delete(assignments).where(assignments.c.run_id == bindparam("where_run_id")), dialect
        )

    def following(self, run_id: str, before: RunState | None, after: RunState, at: int) -> Iterator[Change]:
        """What follows a run's state: its place in the queue, and who was handed it. `before` is None for a new run."""
        if before is after:
            return
        if before is RunState.RUNNING:
            yield Change(self.unassign, (run_id,))
        if before is RunState.QUEUED:
            yield Change(self.dequeue, (run_id,))
        if after is RunState.QUEUED:
            yield self.enqueue.change({"ready_at": at, "where_run_id": run_id})


def _bound(columns: Iterable[str]) -> dict[str, Any]:
    return {name: bindparam(name) for name in columns}


def queue_source(of: FromClause, ready_at: ColumnElement[int]) -> list[ColumnElement[Any]]:
    """What a ready run's row of the queue holds, column by column, from rows of runs. Who has a place needs none."""
    wants = of.c.place == literal_column(str(int(Place.WANTED)))
    own = {
        "ready_at": ready_at,
        "concurrency_key": case((wants, of.c.concurrency_key), else_=literal_column("''")),
        "concurrency_limit": case((wants, of.c.concurrency_limit), else_=ZERO),
    }
    return [own[column.name] if column.name in own else of.c[column.name] for column in run_queue.c]


class Runs:
    """Reads and saves runs."""

    def __init__(self, connection: Connection, driver: DriverConnection, statements: RunStatements) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements

    def find(self, run_id: RunId) -> Run | None:
        """The run, or None."""
        row = self._statements.get.execute_row(self._driver, (run_id,)).fetchone()
        return None if row is None else run_from(row)

    def get(self, run_id: RunId) -> Run:
        """The run. Raises NotFound, Deleted."""
        run = self.find(run_id)
        if run is None:
            raise missing(self._connection, f"runs/{run_id}")
        return run

    def lock(self, run_id: RunId) -> Run:
        """The run, which nobody else moves before this transaction ends. Raises NotFound, Deleted."""
        row = self._statements.lock.execute_row(self._driver, (run_id,)).fetchone()
        if row is None:
            raise missing(self._connection, f"runs/{run_id}")
        return run_from(row)

    def wait_at_most(self, milliseconds: int) -> None:
        """How long `lock` waits from now on, until this transaction ends, before it raises StoreUnavailable."""
        if self._connection.dialect.name == "postgresql":
            self._driver.execute(f"SET LOCAL lock_timeout = {milliseconds}", ())

    def head(self, run_id: str) -> RunHead | None:
        """The run's head alone, or None."""
        row = self._statements.head.execute_row(self._driver, (run_id,)).fetchone()
        return None if row is None else head_from(row)

    def insert(self, run: RunIdentity, head: RunHead) -> None:
        """Stores a new run."""
        self._statements.insert.execute_row(self._driver, identity_row(run) + head_row(head))
        self._follow(run.run_id, None, head.state, run.created_at)

    def save(self, run_id: str, before: Mark, after: RunHead, at: int) -> bool:
        """Stores a head that was folded from `before`, and what follows. False where the row is no longer there."""
        saved = self.save_head(run_id, before, after)
        if saved:
            self._follow(run_id, before.state, after.state, at)
        return saved

    def save_head(self, run_id: str, before: Mark, after: RunHead) -> bool:
        """As `save`, without what follows."""
        unchanged = (run_id, before.last_sequence, before.epoch, before.next_ordinal, before.tail)
        return self._statements.save.execute_row(self._driver, head_row(after) + unchanged).rowcount == 1

    def save_appended(self, run_id: str, before: Mark, after: RunHead) -> bool:
        """As `save_head`, for a holder's batch that moved nothing but APPENDED_COLUMNS."""
        row: Row = (
            *appended_row(after),
            run_id,
            _RUNNING,
            before.lease_id,
            before.last_sequence,
            before.epoch,
            before.next_ordinal,
            before.tail,
        )
        return self._statements.append.execute_row(self._driver, row).rowcount == 1

    def following(self, run_id: str, before: RunState, after: RunState, at: int) -> Iterable[Change]:
        """What else is to change where a run's state does."""
        return () if before is after else self._statements.following(run_id, before, after, at)

    def of_flow(self, flow_id: FlowId) -> tuple[Run, ...]:
        """A flow's runs, the first created first."""
        query = select(*_COLUMNS).where(runs.c.flow_id == flow_id).order_by(runs.c.created_at, runs.c.run_id)
        return tuple(run_from(row) for row in self._connection.execute(query))

    def page(self, wanted: RunFilter, before: tuple[int, str] | None, limit: int, at: int = 0) -> tuple[Run, ...]:
        """Runs, the latest first, that come before a (creation, id). `at` is when limits are looked at."""
        query = select(*_COLUMNS).order_by(runs.c.created_at.desc(), runs.c.run_id.desc()).limit(limit)
        if wanted.states:
            query = query.where(runs.c.state.in_([state.value for state in wanted.states]))
        if wanted.conditions:
            query = query.where(or_(*(_CONDITIONS[condition] for condition in wanted.conditions)))
        for column, value in (
            (runs.c.flow_id, wanted.flow_id),
            (runs.c.session_id, wanted.session_id),
            (runs.c.playbook_id, wanted.playbook_id),
            (runs.c.parent_run_id, wanted.parent_run_id),
        ):
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            created_at, run_id = before
            earlier = (runs.c.created_at == created_at) & (runs.c.run_id < run_id)
            query = query.where((runs.c.created_at < created_at) | earlier)
        return tuple(run_from(row) for row in self._connection.execute(query.params(at=at)))

    def past_deadline(self, at: int, limit: int) -> tuple[Run, ...]:
        """Runs that have not ended and whose deadline lies before a time."""
        unended = runs.c.state.not_in([state.value for state in OVER])
        due = (runs.c.deadline_at > ZERO) & (runs.c.deadline_at <= at)
        query = select(*_COLUMNS).where(due, unended, runs.c.stop.is_(None)).limit(limit)
        return tuple(run_from(row) for row in self._connection.execute(query))

    def stopping_since(self, at: int, limit: int) -> tuple[Run, ...]:
        """Runs whose holder was asked to stop before a time and has not."""
        query = select(*_COLUMNS).where(
            runs.c.state == RunState.RUNNING.value, runs.c.stop_at > ZERO, runs.c.stop_at <= at
        )
        return tuple(run_from(row) for row in self._connection.execute(query.limit(limit)))

    def lock_unended(self, after: str, limit: int) -> tuple[Run, ...]:
        """Runs that have not ended, by id, after an id, which nobody else moves before this transaction ends."""
        unended = runs.c.state.not_in([state.value for state in OVER])
        query = select(*_COLUMNS).where(unended, runs.c.run_id > after).order_by(runs.c.run_id).limit(limit)
        query = query.with_for_update(key_share=True)
        return tuple(run_from(row) for row in self._connection.execute(query))

    def count_queued(self) -> int:
        """How many runs wait for an executor."""
        return int(self._connection.execute(select(func.count()).select_from(run_queue)).scalar_one())

    def _follow(self, run_id: str, before: RunState | None, after: RunState, at: int) -> None:
        execute_changes(self._driver, [list(self._statements.following(run_id, before, after, at))])
