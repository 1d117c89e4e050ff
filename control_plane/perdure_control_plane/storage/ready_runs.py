"""Which ready runs an executor is handed next: `run_queue`, in its order."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    all_,
    any_,
    bindparam,
    cast,
    column,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Dialect

from perdure_control_plane.domain.concurrency import Ready, Room
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.lists import pack, unpack
from perdure_control_plane.storage.places import Places, held_of
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import run_queue

_READY: Final = (run_queue.c.run_id, run_queue.c.concurrency_key, run_queue.c.concurrency_limit)
_NEEDS: Final = (run_queue.c.queue, run_queue.c.fold_version, run_queue.c.providers, run_queue.c.labels)
_ORDER: Final = (run_queue.c.priority.desc(), run_queue.c.ready_at, run_queue.c.run_id)


class ReadyStatements:
    """Statements over the queue, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        ordered = select(*_READY, *_NEEDS).where(_has_room()).order_by(*_ORDER)
        self.first: Final = Prepared(ordered.limit(bindparam("limit")), dialect)
        self.servable: Final = Prepared(_servable(), dialect) if dialect.name == "postgresql" else None


def _has_room() -> ColumnElement[bool]:
    """Whether a ready run wants no place, or fewer runs of its key than its limit have one."""
    return or_(
        run_queue.c.concurrency_key == literal_column("''"),
        held_of(run_queue.c.concurrency_key) < run_queue.c.concurrency_limit,
    )


def _servable() -> Select[Any]:
    """Ready runs that an executor can do, locked, without those that are locked, and without those seen before."""
    texts, numbers = ARRAY(Text), ARRAY(BigInteger)
    full = func.unnest(bindparam("full_keys", type_=texts), bindparam("full_counts", type_=numbers)).table_valued(
        column("key", Text), column("held", BigInteger), name="full_keys"
    )
    full = full.render_derived()
    passed_over = exists().where(
        full.c.key == run_queue.c.concurrency_key, run_queue.c.concurrency_limit <= full.c.held
    )
    return (
        select(*_READY)
        .where(
            run_queue.c.queue == any_(bindparam("queues", type_=texts)),
            run_queue.c.fold_version.between(bindparam("fold_lowest"), bindparam("fold_highest")),
            cast(run_queue.c.providers, JSONB).contained_by(cast(bindparam("providers", type_=Text), JSONB)),
            cast(run_queue.c.labels, JSONB).contained_by(cast(bindparam("labels", type_=Text), JSONB)),
            _has_room(),
            run_queue.c.run_id != all_(bindparam("seen", type_=texts)),
            ~passed_over,
        )
        .order_by(*_ORDER)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
    )


class ReadyRuns:
    """Finds ready runs for executors."""

    SCAN_FACTOR: Final = 4
    """How far past the runs it may hand out a claim looks, so that runs it cannot serve do not block those it can."""
    SCAN_LEAST: Final = 20
    """How many runs a claim looks at in any case."""

    def __init__(
        self, connection: Connection, driver: DriverConnection, statements: ReadyStatements, places: Places
    ) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements
        self._places = places

    def servable(self, executor: Executor, limit: int) -> list[RunId]:
        """Ready runs that the executor can do, in the order they are to be handed out: no more of a key than have room.

        Where several servers hand out, those that another is handing out at this moment are passed over.
        """
        if self._statements.servable is not None:
            return self._servable_of_many(self._statements.servable, executor, limit)
        scan = max(limit * self.SCAN_FACTOR, self.SCAN_LEAST)
        rows = self._statements.first.execute(self._driver, {"limit": scan}).fetchall()
        taken = self._taken(executor, rows, limit)
        if len(taken) < limit and len(rows) == scan:
            taken = self._taken(executor, self._connection.execute(_all(executor)), limit)
        return taken

    def _servable_of_many(self, statement: Prepared, executor: Executor, limit: int) -> list[RunId]:
        room, values = Room(), _offer(executor)
        seen: list[str] = []
        taken: list[RunId] = []
        while len(taken) < limit:
            asked = limit - len(taken)
            more = {"seen": seen, "full_keys": list(room.full), "full_counts": list(room.full.values())}
            rows = statement.execute(self._driver, {**values, **more, "limit": asked})
            found = [Ready(*row) for row in rows]
            self._count(room, found)
            taken += [RunId(ready.run_id) for ready in found if room.take(ready)]
            if len(found) < asked:
                break
            seen += [ready.run_id for ready in found]
        return taken

    def _count(self, room: Room, found: Sequence[Ready]) -> None:
        """Counts the keys that were not counted yet; from then on nobody else hands out a run that wants a place."""
        keys = {ready.concurrency_key for ready in found} - {"", *room.held}
        if keys:
            if not room.held:
                self._places.lock()
            room.held.update(self._places.held(sorted(keys)))

    def _taken(self, executor: Executor, rows: Iterable[Any], limit: int) -> list[RunId]:
        room = Room()

        def takes(ready: Ready) -> bool:
            self._count(room, [ready])
            return room.take(ready)

        served = (Ready(*row[:3]) for row in rows if _serves(executor, *row[3:]))
        return list(islice((RunId(ready.run_id) for ready in served if takes(ready)), limit))


def _all(executor: Executor) -> Select[Any]:
    fits = run_queue.c.fold_version.between(executor.fold_lowest, executor.fold_highest)
    query = select(*_READY, *_NEEDS).where(run_queue.c.queue.in_(executor.queues), fits, _has_room())
    return query.order_by(*_ORDER)


def _offer(executor: Executor) -> dict[str, Any]:
    """What an executor has, as the statement is told."""
    return {
        "queues": list(executor.queues),
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
