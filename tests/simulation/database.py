"""One database in memory, which every control plane of a trial shares, and what may go wrong with it."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

from perdure.runlog.effects import GUARDED
from perdure.runlog.states import TERMINAL
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.storage.copies import Copy, CopyStatements
from perdure_control_plane.storage.heads import HeadCache
from perdure_control_plane.storage.sqlite_errors import is_of_the_store
from perdure_control_plane.storage.tables import metadata
from perdure_control_plane.storage.unit_of_work import SqlTransaction, statements_of
from tests.simulation.loop import EPOCH, Process, SimulatedLoop
from tests.simulation.record import Record

T = TypeVar("T")


class ConnectionLost(Exception):
    """The connection broke. What became of a commit that was on its way is not known."""


class Fate(StrEnum):
    """What becomes of a commit."""

    SLOW = "slow commit"
    CRASH_BEFORE = "crash before commit"
    CRASH_AFTER = "crash after commit"
    UNKNOWN_DONE = "unknown outcome, committed"
    UNKNOWN_UNDONE = "unknown outcome, not committed"


class Shelf:
    """A SQLite connection, prepared once for all trials of this process: what is compiled for it is kept."""

    def __init__(self) -> None:
        self.raw: Final = sqlite3.connect(":memory:", isolation_level=None, cached_statements=1000)
        self.raw.execute("PRAGMA foreign_keys=ON")
        engine = create_engine(
            "sqlite://", creator=lambda: self.raw, poolclass=StaticPool, isolation_level="AUTOCOMMIT"
        )
        event.listen(engine, "connect", _say_begin_ourselves)
        metadata.create_all(engine)
        self.connection: Final = engine.connect()
        self.statements: Final = statements_of(engine.dialect)
        self._empty: Final = sqlite3.connect(":memory:")
        self.raw.backup(self._empty)

    def clear(self) -> None:
        """Makes the database empty."""
        self._empty.backup(self.raw)


def _say_begin_ourselves(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None


@dataclass(frozen=True, slots=True)
class Loss:
    """What a promotion took away."""

    epoch: int
    """The store's epoch that ended."""
    length: dict[str, int]
    """For each run that there was, the sequence that its log ends at since."""
    guarded: frozenset[str]
    """Runs whose log lost the start of a guarded effect."""
    ordinals: frozenset[tuple[str, int]]
    """Of the holders' events that are gone: lease and ordinal."""


class Database:
    """The database of one trial. `shared` says that it is one that several control planes may have, as PostgreSQL is."""

    def __init__(
        self, shelf: Shelf, loop: SimulatedLoop, record: Record, chance: random.Random, *, shared: bool
    ) -> None:
        shelf.clear()
        self.shared: Final = shared
        self.scheduled = False
        """Whether control planes look after schedules: they do it for nothing where there is none."""
        self.epoch = 0
        """How often a lagging copy has taken its place."""
        self.losses: Final[list[Loss]] = []
        self.rate = 0.0
        """How likely a commit meets a fate."""
        self.stalled_until = 0.0
        self._shelf = shelf
        self._loop = loop
        self._record = record
        self._chance = chance
        self._jumped = 0.0
        self._copy: sqlite3.Connection | None = None

    def clock(self) -> int:
        """The database's clock, in microseconds since 1970."""
        return round((EPOCH + self._loop.time() + self._jumped) * 1e6)

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self._jumped += seconds

    def stall(self, seconds: float) -> None:
        """For so long it answers nobody."""
        self.stalled_until = max(self.stalled_until, self._loop.time() + seconds)

    def leases_of(self, process_name: str) -> set[str]:
        """The leases that a process of an executor has."""
        query = "SELECT lease_id FROM assignments WHERE incarnation = ? ORDER BY lease_id"
        return {row[0] for row in self._shelf.raw.execute(query, (f"{process_name}-process",))}

    def unended(self) -> list[str]:
        """The runs that have not ended, by no list of the product's: what is judged must not choose what is looked at."""
        ended = [state.value for state in TERMINAL]
        query = f"SELECT run_id FROM runs WHERE state NOT IN ({', '.join('?' * len(ended))}) ORDER BY run_id"
        return [row[0] for row in self._shelf.raw.execute(query, ended)]

    def orphans(self) -> list[str]:
        """The runs that go on although the run that started them has ended."""
        ended = [state.value for state in TERMINAL]
        marks = ", ".join("?" * len(ended))
        query = (
            "SELECT child.run_id FROM runs AS child JOIN runs AS parent ON parent.run_id = child.parent_run_id"
            f" WHERE parent.state IN ({marks}) AND child.state NOT IN ({marks}) ORDER BY child.run_id"
        )
        return [row[0] for row in self._shelf.raw.execute(query, ended * 2)]

    def copy(self) -> None:
        """A standby catches up."""
        self._copy = sqlite3.connect(":memory:")
        self._shelf.raw.backup(self._copy)

    def promote(self) -> bool:
        """Puts the standby in the place of the database. False where that loses nothing, or there is none."""
        if self._copy is None:
            return False
        before, after = self._lengths(self._shelf.raw), self._lengths(self._copy)
        if before == after:
            return False
        length = {run: after.get(run, 0) for run in before}
        self.losses.append(Loss(self.epoch, length, self._lost_starts(after), self._lost_ordinals(after)))
        self._copy.backup(self._shelf.raw)
        self._copy = None
        self.epoch += 1
        return True

    @staticmethod
    def _lengths(connection: sqlite3.Connection) -> dict[str, int]:
        return dict(connection.execute("SELECT run_id, max(sequence) FROM run_events GROUP BY run_id ORDER BY run_id"))

    def _lost_starts(self, after: dict[str, int]) -> frozenset[str]:
        rows = self._shelf.raw.execute("SELECT run_id, sequence, event FROM run_events")
        return frozenset(
            run for run, sequence, stored in rows if sequence > after.get(run, 0) and _begins_guarded(stored)
        )

    def _lost_ordinals(self, after: dict[str, int]) -> frozenset[tuple[str, int]]:
        rows = self._shelf.raw.execute("SELECT run_id, sequence, lease_id, ordinal FROM run_events")
        return frozenset((lease, ordinal) for run, sequence, lease, ordinal in rows if sequence > after.get(run, 0))

    async def turn(self, process: Process) -> None:
        """Returns when a connection is free and the database answers."""
        self._check_alive(process)
        chance = self._chance.random()
        if chance < 0.4:
            await asyncio.sleep(0.0005 + 0.02 * self._chance.random() ** 4)
        if (stalled := self.stalled_until - self._loop.time()) > 0:
            await asyncio.sleep(stalled)

    async def answer(self) -> None:
        """Returns when an answer has come back."""
        if self._chance.random() < 0.2:
            await asyncio.sleep(0.0005 + 0.05 * self._chance.random() ** 4)

    def read(self, body: Callable[[SqlTransaction], T]) -> T:
        """Runs a body on what there is."""
        self._shelf.raw.execute("BEGIN")
        try:
            return body(self._transaction(HeadCache()))
        finally:
            self._shelf.raw.execute("ROLLBACK")

    async def commit(self, process: Process, heads: HeadCache, work: Callable[[SqlTransaction], None]) -> None:
        """Does work in one transaction of a process, whatever may become of its commit. Raises ConnectionLost."""
        epoch = self.epoch
        await self.turn(process)
        fate = self._draw_fate()
        if fate is Fate.SLOW:
            await asyncio.sleep(3 * self._chance.random() ** 2)
        if self.epoch != epoch:  # a promotion ends all connections
            raise ConnectionLost
        raw = self._shelf.raw
        raw.execute("BEGIN IMMEDIATE")
        transaction = self._transaction(heads)
        try:
            work(transaction)
        except Exception:
            raw.execute("ROLLBACK")
            raise
        changed = raw.total_changes
        raw.execute("ROLLBACK" if fate in (Fate.CRASH_BEFORE, Fate.UNKNOWN_UNDONE) else "COMMIT")
        await self._suffer(process, fate, changed)
        await self.answer()

    async def _suffer(self, process: Process, fate: Fate | None, changed: int) -> None:
        if fate is None:
            return
        self._record.hit(fate, process.name)
        match fate:
            case Fate.CRASH_BEFORE | Fate.CRASH_AFTER:
                # Whoever was told too early has a moment to say so.
                await asyncio.sleep(0.1 * self._chance.random())
                process.kill()
                await self._loop.create_future()
            case Fate.UNKNOWN_DONE | Fate.UNKNOWN_UNDONE:
                await asyncio.sleep(self._chance.random())
                raise ConnectionLost
            case Fate.SLOW:
                await asyncio.sleep(3 * self._chance.random() ** 2)

    def _draw_fate(self) -> Fate | None:
        if self.rate <= 0.0 or self._chance.random() > self.rate:
            return None
        return self._chance.choices(list(Fate), [4, 1, 1, 2, 2])[0]

    def _check_alive(self, process: Process) -> None:
        assert process.alive, f"{process.name} is dead, and writes"

    def _transaction(self, heads: HeadCache) -> SqlTransaction:
        shelf = self._shelf
        transaction = SqlTransaction(
            shelf.connection, shelf.raw, shelf.statements, heads, self.clock(), _is_of_the_store
        )
        origin = f"timeline {self.epoch}" if self.shared else ""
        transaction.copy = _Copy(shelf.connection, shelf.raw, shelf.statements.copies, origin)
        return transaction


def _is_of_the_store(error: Exception) -> bool:
    return isinstance(error, ConnectionLost) or is_of_the_store(error)


def _begins_guarded(stored: bytes) -> bool:
    event = RunEvent.FromString(stored)
    return event.HasField("node_started") and event.node_started.effect in GUARDED


class _Copy(Copy):
    """Knows which copy of the data this is, as PostgreSQL does."""

    def __init__(self, connection: Any, raw: sqlite3.Connection, statements: CopyStatements, origin: str) -> None:
        super().__init__(connection, raw, statements)
        self._raw = raw
        self._origin = origin

    def origin(self) -> str:
        """Names this copy of the data; empty where copies are alike."""
        return self._origin

    def is_another(self) -> bool:
        """Whether the mark was made in another copy of the data than this one."""
        row = self._raw.execute("SELECT origin FROM store").fetchone()
        return row is not None and row[0] != self._origin
