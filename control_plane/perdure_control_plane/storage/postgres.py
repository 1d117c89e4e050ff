"""The PostgreSQL store: any number of control planes on one database.

Holders' batches go through the journal's writer, guarded by their statements. Every other body has a transaction of its
own. It is serialisable, and repeated where another was first at the same rows; that of a guarded body reads what is
committed, locks the rows it relies on, and waits for them.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import structlog
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.run import Run
from perdure_control_plane.storage.listened_store import ListenedStore
from perdure_control_plane.storage.migrate import migrate_postgres, require_current_schema
from perdure_control_plane.storage.postgres_errors import (
    is_away,
    is_over_when_repeated,
    plain_sentence,
    unavailable,
)
from perdure_control_plane.storage.postgres_hints import PostgresHints
from perdure_control_plane.storage.postgres_hosts import PostgresHosts, database_url
from perdure_control_plane.storage.postgres_session import (
    READ_COMMITTED,
    SERIALIZABLE,
    SNAPSHOT,
    Beginning,
    LostBeforeCommit,
    PostgresSession,
    Transactions,
    connected,
)
from perdure_control_plane.storage.store_broken import StoreAway, StoreBroken
from perdure_control_plane.storage.unit_of_work import SqlTransaction, statements_of
from perdure_control_plane.storage.writer import Committed, Writer
from perdure_control_plane.usecases.ports import Order

log = structlog.get_logger(__name__)

T = TypeVar("T")

CONNECTIONS: Final = 12
"""One of them for hints, and one for the journal."""
REPEATS: Final = 20
"""How often a body is run because another transaction was first, or its connection was lost before the commit."""
REPEAT_SECONDS: Final = 0.1
"""Longest pause before that; drawn between nothing and it."""

_BEGINNINGS: Final = {
    Order.ALONE: Beginning(SERIALIZABLE),
    Order.FIRST: Beginning(SERIALIZABLE),
    Order.GUARDED: Beginning(READ_COMMITTED),
    Order.READS_FIRST: Beginning(READ_COMMITTED, late=True),
}


class PostgresStore(ListenedStore):
    """A database that every control plane named the same URL for shares."""

    def __init__(self, url: str | URL, clock: Callable[[], int] | None = None) -> None:
        """`url` names the database; `clock` gives microseconds since 1970, and stands in for the database's own.

        Raises ValueError for what is no such name.
        """
        super().__init__()
        self.url: Final = database_url(url)
        self._hosts: Final = PostgresHosts(self.url)
        self._clock = clock
        self._silences: list[Callable[[], None]] = []

    kind: Final = "postgresql"

    def __str__(self) -> str:
        return str(self._hosts)

    async def open(self) -> None:
        """Migrates the database and starts the journal. Raises StoreAway, StoreBroken and SchemaUnknown."""
        await self._connect(migrate_postgres)
        self._session = PostgresSession(self._engine, self._transactions)
        self._writer = Writer(self._session, self._publish, self._fail)
        self._writer.start()
        self._hints = PostgresHints(self._engine, super()._publish, self._look_again)
        self._hints.start()

    async def inspect(self, body: Callable[[SqlTransaction], T]) -> T:
        """Runs a body on one snapshot of a store that is not open. Raises StoreBroken and SchemaUnknown."""
        await self._connect(require_current_schema)
        try:
            return await self.read(body)
        except StoreUnavailable as error:
            raise StoreBroken(f"{self}: {error}") from error
        finally:
            await self._engine.dispose()

    async def _connect(self, look: Callable[[Connection], None]) -> None:
        engine = create_async_engine(
            self.url,
            isolation_level="AUTOCOMMIT",
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_use_lifo=True,  # the last one used has the statements prepared
            async_creator=self._hosts.connect,
        )
        try:
            async with engine.execution_options(isolation_level="READ COMMITTED").begin() as connection:
                await connection.run_sync(look)
        except Exception as error:
            await engine.dispose()
            sentence = plain_sentence(error)
            if sentence is None:
                raise
            raise (StoreAway if is_away(error) else StoreBroken)(f"{self}: {sentence}") from error
        self._engine: AsyncEngine = engine
        self._transactions = Transactions(statements_of(engine.dialect), self._clock)

    async def close(self) -> None:
        """Commits what was submitted and gives the connections back."""
        await self._writer.stop()
        await self._session.close()
        await self._hints.stop()
        await self._engine.dispose()

    def on_silence(self, listener: Callable[[], None]) -> None:
        """Calls `listener` when commits of others may have been missed."""
        self._silences.append(listener)

    async def write(self, body: Callable[[SqlTransaction], T], order: Order = Order.ALONE) -> T:
        """Runs a body in a transaction of its own and returns what it returned, or raises what it raised.

        The body may run several times; what counts is the last. Nobody waits in line here, so FIRST is as ALONE.
        Raises StoreUnavailable where the store cannot write now.
        """
        if self.failure:
            raise StoreUnavailable("postgresql", self.failure)
        result, changed, told = await self._repeated(
            _BEGINNINGS[order], lambda tx: (body(tx), tx.log.changed, tx.projections)
        )
        if changed:
            self._keep_heads(changed)
            runs = [run.run_id for run in changed]
            queued = any(run.head.calls_executors for run in changed)
            messages, approvals = told.messages.sent, told.approval_changes.noted
            self._publish(Committed(runs, runs, queued, messages, approvals=approvals))
        return result

    def _keep_heads(self, changed: Iterable[Run]) -> None:
        # What their holders send next finds them where they are now, and needs no reading.
        for run in changed:
            if run.head.lease_id is not None:
                self._session.heads.put(run.run_id, run.head.copy())

    async def read(self, body: Callable[[SqlTransaction], T]) -> T:
        """Runs a body on one snapshot of the store. Raises StoreUnavailable where it cannot be read."""
        return await self._repeated(Beginning(SNAPSHOT), body)

    async def _repeated(self, beginning: Beginning, body: Callable[[SqlTransaction], T]) -> T:
        for left in reversed(range(REPEATS)):
            try:
                async with connected(self._engine) as connection:
                    return await self._transactions.run(connection, beginning, body)
            except Exception as error:
                if left and (isinstance(error, LostBeforeCommit) or is_over_when_repeated(error)):
                    await asyncio.sleep(random.uniform(0.0, REPEAT_SECONDS))  # noqa: S311  # jitter, not a secret
                    continue
                raise _told(error) from error
        raise AssertionError("the last repetition returns or raises")

    def _publish(self, committed: Committed) -> None:
        self._hints.tell(committed)
        super()._publish(committed)

    def _look_again(self) -> None:
        for listener in self._silences:
            listener()


def _told(error: Exception) -> Exception:
    """The error as a caller is to see it."""
    lost = error.__cause__ if isinstance(error, LostBeforeCommit) else error
    return (unavailable(lost) if isinstance(lost, Exception) else None) or error
