"""Which ready runs an executor is handed next: `run_queue`, in its order."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    all_,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    exists,
    false,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Dialect

from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.room import Ready, Room, Servable
from perdure_control_plane.domain.run import Run
from perdure_control_plane.storage.lists import pack, unpack
from perdure_control_plane.storage.places import Places, wants_a_place_in_vain
from perdure_control_plane.storage.queue_limits import QueueRows, exhausted
from perdure_control_plane.storage.run_rows import RUN_COLUMNS, run_from
from perdure_control_plane.storage.runs import Runs
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import run_queue, runs

_READY: Final = (
    run_queue.c.run_id,
    run_queue.c.concurrency_key,
    run_queue.c.concurrency_limit,
    run_queue.c.queue,
)
_NEEDS: Final = (run_queue.c.fold_version, run_queue.c.providers, run_queue.c.labels)
_ORDER: Final = (run_queue.c.priority.desc(), run_queue.c.ready_at, run_queue.c.run_id)


class ReadyStatements:
    """Statements over the queue, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        ordered = select(*_READY, *_NEEDS).order_by(*_ORDER)
        self.first: Final = Prepared(ordered.limit(bindparam("limit")), dialect)
        many = dialect.name == "postgresql"
        self.servable: Final = Prepared(_servable(), dialect) if many else None
        self.with_room: Final = Prepared(_with_room(), dialect) if many else None


def _servable() -> Select[Any]:
    """Ready runs that an executor can do, with their rows, both locked, without those that are locked."""
    return (
        select(*_READY, *(runs.c[name] for name in RUN_COLUMNS))
        .join(runs, runs.c.run_id == run_queue.c.run_id)
        .where(_fits())
        .order_by(*_ORDER)
        .limit(bindparam("limit"))
        .with_for_update(key_share=True, skip_locked=True)
    )


def _fits() -> ColumnElement[bool]:
    """Whether an executor can do a ready run, in a form of which the database expects that it often holds.

    Of a plain condition it expects that hardly a run meets it, however many do, and so looks through the whole queue, and
    sorts it, for each claim. It is to read the queue in its order, and to stop when it has found enough.
    """
    needs = (
        (needed == literal_column("'[]'"))
        | cast(needed, JSONB).contained_by(cast(bindparam(needed.name, type_=Text), JSONB))
        for needed in (run_queue.c.providers, run_queue.c.labels)
    )
    can = and_(
        run_queue.c.queue == any_(bindparam("queues", type_=ARRAY(Text))),
        run_queue.c.fold_version.between(bindparam("fold_lowest"), bindparam("fold_highest")),
        *needs,
    )
    return case((can, true()), else_=false())


def _with_room() -> Select[Any]:
    """The same, without those that a limit is known to keep, and without those that were seen before."""
    texts, numbers = ARRAY(Text), ARRAY(BigInteger)
    full = func.unnest(bindparam("full_keys", type_=texts), bindparam("full_counts", type_=numbers)).table_valued(
        column("key", Text), column("held", BigInteger), name="full_keys"
    )
    full = full.render_derived()
    passed_over = exists().where(
        full.c.key == run_queue.c.concurrency_key, run_queue.c.concurrency_limit <= full.c.held
    )
    return _servable().where(_has_room(), run_queue.c.run_id != all_(bindparam("seen", type_=texts)), ~passed_over)


def _has_room() -> ColumnElement[bool]:
    """Whether nothing is known that keeps a ready run from being handed out: a full key, or a limit of its queue."""
    return ~wants_a_place_in_vain(run_queue) & run_queue.c.queue.not_in(exhausted(bindparam("at", type_=BigInteger)))


class ReadyRuns:
    """Finds ready runs for executors."""

    SCAN_FACTOR: Final = 4
    """How far past the runs it may hand out a claim looks, so that runs it cannot serve do not block those it can."""
    SCAN_LEAST: Final = 20
    """How many runs a claim looks at in any case."""

    def __init__(
        self, connection: Connection, driver: DriverConnection, statements: ReadyStatements, every_run: Runs
    ) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements
        self._every_run = every_run
        self._places = Places(connection, driver)
        self._queues = QueueRows(connection)

    def servable(self, executor: Executor, limit: int, at: int, limited: Collection[str]) -> Servable:
        """Ready runs that the executor can do, in the order they are to be handed out: no more than limits have room for.

        `limited` has the queues with a rate or a limit of runs at work. Where several servers hand out, those that another
        is handing out at this moment are passed over.
        """
        found = self._first(executor, limit)
        if not any(row[1] or row[3] in limited for row in found):
            return Servable(self._runs(found), 0)
        room = Room(at, limited)
        if self._statements.with_room is None:
            rows = self._connection.execute(_all(executor).where(_has_room()), {"at": at})
            taken = self._taken(_served(executor, rows), limit, room)
        else:
            taken = self._taken_of_many(self._statements.with_room, executor, limit, room)
        spent = room.spent()
        self._queues.spend(spent)
        return Servable(self._runs(taken), min((each.next_at for each in spent if each.next_at > at), default=0))

    def _first(self, executor: Executor, limit: int) -> Sequence[Any]:
        """The first ready runs that the executor can do, whatever limits they have."""
        if self._statements.servable is not None:
            values = _offer(executor) | {"queues": list(executor.queues), "limit": limit}
            return self._statements.servable.execute(self._driver, values).fetchall()
        scan = max(limit * self.SCAN_FACTOR, self.SCAN_LEAST)
        rows = self._statements.first.execute(self._driver, {"limit": scan}).fetchall()
        served = [row for row in rows if _serves(executor, *row[3:])]
        if len(served) < limit and len(rows) == scan:
            served = list(islice(_served(executor, self._connection.execute(_all(executor))), limit))
        return served[:limit]

    def _taken_of_many(self, statement: Prepared, executor: Executor, limit: int, room: Room) -> list[Any]:
        values = _offer(executor) | {"at": room.at}
        seen: list[str] = []
        taken: list[Any] = []
        while len(taken) < limit:
            asked = limit - len(taken)
            more = {"seen": seen, "full_keys": list(room.full), "full_counts": list(room.full.values())}
            more |= {"queues": room.queues_left(executor.queues), "limit": asked}
            found = statement.execute(self._driver, values | more).fetchall()
            self._count(room, [_ready(row) for row in found])
            taken += [row for row in found if room.take(_ready(row))]
            if len(found) < asked:
                break
            seen += [row[0] for row in found]
        return taken

    def _count(self, room: Room, found: Sequence[Ready]) -> None:
        """Counts what was not counted yet. From then on nobody else hands out a run that a limit counts."""
        keys, queues = room.uncounted_keys(found), room.uncounted_queues(found)
        if keys or queues:
            self._places.lock()
        if keys:
            room.held.update(self._places.held(keys))
        if queues:
            at_work = self._queues.at_work(queues)
            for limits in self._queues.limits(queues):
                room.let(limits, at_work.get(limits.queue, 0))

    def _taken(self, rows: Iterable[Any], limit: int, room: Room) -> list[Any]:
        def takes(ready: Ready) -> bool:
            self._count(room, [ready])
            return room.take(ready)

        return list(islice((row for row in rows if takes(_ready(row))), limit))

    def _runs(self, rows: Sequence[Any]) -> list[Run]:
        if self._statements.servable is not None:
            return [run_from(row[len(_READY) :]) for row in rows]
        found = (self._every_run.find(row[0]) for row in rows)
        return [run for run in found if run is not None]


def _ready(row: Any) -> Ready:
    return Ready(*row[: len(_READY)])


def _all(executor: Executor) -> Select[Any]:
    fits = run_queue.c.fold_version.between(executor.fold_lowest, executor.fold_highest)
    return select(*_READY, *_NEEDS).where(run_queue.c.queue.in_(executor.queues), fits).order_by(*_ORDER)


def _served(executor: Executor, rows: Iterable[Any]) -> Iterator[Any]:
    return (row for row in rows if _serves(executor, *row[3:]))


def _offer(executor: Executor) -> dict[str, Any]:
    """What an executor has, as the statement is told."""
    return {
        "fold_lowest": executor.fold_lowest,
        "fold_highest": executor.fold_highest,
        "providers": pack(executor.providers),
        "labels": pack(executor.labels),
    }


def _serves(executor: Executor, queue: str, fold_version: int, providers: str, labels: str) -> bool:
    return (
        queue in executor.queues
        and executor.fold_lowest <= fold_version <= executor.fold_highest
        and _has(executor.providers, providers)
        and _has(executor.labels, labels)
    )


def _has(there: Sequence[str], needed: str) -> bool:
    return needed == "[]" or set(unpack(needed)) <= set(there)
