"""A control plane's store on the one database: the real writer and journal, over connections that may break."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from perdure.runlog.states import RunState
from perdure_control_plane.domain.admission import Answer, Batch
from perdure_control_plane.domain.errors import Conflict, StoreUnavailable
from perdure_control_plane.storage.heads import HeadCache
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.storage.writer import Committed, Writer
from perdure_control_plane.usecases.ports import Order
from tests.simulation.database import ConnectionLost, Database
from tests.simulation.loop import Process

T = TypeVar("T")

REPEATS: Final = 5
"""How often a body is run again because another transaction was first."""


class SimulatedStore:
    """Stands where a SQLite or PostgreSQL store does."""

    def __init__(self, database: Database, process: Process, tell: Callable[[Committed], None]) -> None:
        """`tell` passes on to the other control planes what a commit changed."""
        self._database = database
        self._process = process
        self._tell = tell
        self._committed: list[Callable[[Committed], None]] = []
        self._heads = HeadCache()
        self._epoch = database.epoch
        self._writer = Writer(self, self._publish, self._fail)
        self.failure = ""

    @property
    def kind(self) -> str:
        """Which database it stands for."""
        return "postgresql" if self._database.shared else "sqlite"

    async def open(self) -> None:
        """Starts the writer."""
        self._writer.start()

    def on_commit(self, listener: Callable[[Committed], None]) -> None:
        """Calls `listener` after every commit that changed a run, of this process and of others, as far as is heard."""
        self._committed.append(listener)

    def append(self, batch: Batch, reply: Callable[[Answer], None]) -> None:
        """Submits a holder's batch; `reply` is called after the commit."""
        self._writer.append(batch, reply)

    async def write(self, body: Callable[[Any], T], order: Order = Order.ALONE) -> T:
        """Runs a body in a transaction and returns what it returned, or raises what it raised."""
        if not self._database.shared:
            return await self._writer.write(body, first=order is Order.FIRST)
        for left in reversed(range(REPEATS)):
            try:
                return await self._write_alone(body)
            except Conflict:
                if not left:
                    raise
            except ConnectionLost as error:
                raise _unreachable() from error
        raise AssertionError("the last repetition returns or raises")

    async def _write_alone(self, body: Callable[[SqlTransaction], T]) -> T:
        results: list[T] = []
        changed: list[Committed] = []

        def work(transaction: SqlTransaction) -> None:
            results.append(body(transaction))
            if runs := transaction.log.changed:
                ids = [run.run_id for run in runs]
                queued = any(run.head.state is RunState.QUEUED for run in runs)
                changed.append(Committed(ids, ids, queued, transaction.projections.messages.sent))

        await self._database.commit(self._process, HeadCache(), work)
        for committed in changed:
            self._publish(committed)
        return results[0]

    async def read(self, body: Callable[[Any], T]) -> T:
        """Runs a body on one snapshot of the store."""
        await self._database.turn(self._process)
        result = self._database.read(body)
        await self._database.answer()
        return result

    def hear(self, committed: Committed) -> None:
        """Another control plane has changed something."""
        for listener in self._committed:
            listener(committed)

    def _publish(self, committed: Committed) -> None:
        self._tell(replace(committed, grown=()))  # others are told of runs alone
        self.hear(committed)

    def _fail(self, why: str) -> None:
        self.failure = why

    # What the writer needs of a session.

    async def transact(self, work: Callable[[SqlTransaction], None]) -> None:
        """Does work in one transaction and commits it."""
        if self._epoch != self._database.epoch:  # a promotion ends all connections
            self._epoch = self._database.epoch
            self._heads.clear()
        try:
            await self._database.commit(self._process, self._heads, work)
        except Exception:
            self._heads.clear()
            raise

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """The plain sentence where the error says that the store cannot write now; None for any other error."""
        return _unreachable() if isinstance(error, ConnectionLost) else None

    def damage(self, error: Exception) -> str | None:
        """Nothing here damages a database."""
        return None


def _unreachable() -> StoreUnavailable:
    return StoreUnavailable("simulated", "the connection broke")
