"""Transactions on PostgreSQL: a body's synchronous statements over an asynchronous connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.storage.heads import HeadCache
from perdure_control_plane.storage.postgres_clock import DatabaseClock
from perdure_control_plane.storage.postgres_driver import PostgresDriver, driver_of
from perdure_control_plane.storage.postgres_errors import damage, is_disconnect, is_of_the_store, unavailable
from perdure_control_plane.storage.unit_of_work import SqlTransaction, Statements

T = TypeVar("T")

SERIALIZABLE: Final = "BEGIN ISOLATION LEVEL SERIALIZABLE"
"""For bodies that read what others may be writing to, and write what follows from it."""
READ_COMMITTED: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""For bodies whose statements repeat or lock what they rely on."""
SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
"""For what is read for an answer."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a body's transaction begins: with which statement, and whether with the body, or late, with the first statement
    that is not to be `alone`."""

    statement: str
    late: bool = False


class LostBeforeCommit(Exception):
    """The connection was lost before anything was committed over it."""


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection of an engine. One that failed, or whose user is cancelled, is not used again: who knows what it is in."""
    connection = await _live_connection(engine)
    try:
        yield connection
    except asyncio.CancelledError:
        await connection.invalidate()
        raise
    except Exception as error:
        if is_disconnect(error):
            await connection.invalidate()
        raise
    finally:
        await connection.close()


async def _live_connection(engine: AsyncEngine) -> AsyncConnection:
    while True:
        connection = await engine.connect()
        raw = driver_of(connection)
        if not raw.is_closed() and not raw.is_in_transaction():
            return connection
        await connection.invalidate()
        await connection.close()


class Transactions:
    """Runs bodies, each in a transaction. `clock` is asked instead of the database's own where there is one."""

    def __init__(self, statements: Statements, clock: Callable[[], int] | None) -> None:
        self._statements = statements
        self._clock = clock
        self._database_clock = DatabaseClock()

    async def run(self, connection: AsyncConnection, beginning: Beginning, body: Callable[[SqlTransaction], T]) -> T:
        """Runs a body in a transaction of its own and commits it.

        Raises LostBeforeCommit where the connection was lost before that, and whatever the body or the commit raise.
        """
        driver = PostgresDriver(driver_of(connection), beginning.statement)

        def run(own: Connection) -> T:
            if not beginning.late:
                driver.begin()
            return body(self.on(own, driver, HeadCache()))

        try:
            result = await connection.run_sync(run)
        except Exception as error:
            if is_disconnect(error) and not driver.wrote_alone:
                raise LostBeforeCommit from error
            await driver.end("ROLLBACK")
            raise
        await driver.end("COMMIT")
        return result

    def on(self, connection: Connection, driver: PostgresDriver, heads: HeadCache) -> SqlTransaction:
        """The transaction that the connection is in, or will be in with the first statement."""
        now = self._database_clock.now(driver) if self._clock is None else self._clock()
        return SqlTransaction(connection, driver, self._statements, heads, now, is_of_the_store)


class PostgresSession:
    """What the journal writes over: a connection of its own. A group's transaction sees each row as it is now."""

    def __init__(self, engine: AsyncEngine, transactions: Transactions) -> None:
        self._engine = engine
        self._transactions = transactions
        self._connection: AsyncConnection | None = None
        self.heads: Final = HeadCache()

    async def transact(self, work: Callable[[SqlTransaction], None]) -> None:
        """Does work in one transaction and commits it. The work goes through the journal alone, which says when to begin."""
        if self._connection is None:
            self._connection = await _live_connection(self._engine)
        driver = PostgresDriver(driver_of(self._connection), READ_COMMITTED)
        try:
            await self._connection.run_sync(lambda own: work(self._transactions.on(own, driver, self.heads)))
            await driver.end("COMMIT")
        except BaseException:
            self.heads.clear()
            await self.close()
            raise

    async def close(self) -> None:
        """Gives the connection up, whatever it is in the middle of."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """The plain sentence where the error says that the store cannot write now; None for any other error."""
        return unavailable(error)

    def damage(self, error: Exception) -> str | None:
        """The plain sentence where the error says that nothing may be written any more; None for any other error."""
        return damage(error)
