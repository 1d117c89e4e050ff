"""Transactions on PostgreSQL: a body's synchronous statements over an asynchronous connection."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.storage.heads import HeadCache
from perdure_control_plane.storage.postgres_errors import damage, is_of_the_store, unavailable
from perdure_control_plane.storage.unit_of_work import SqlTransaction, Statements

NOW: Final = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
"""The database's clock, in microseconds since 1970."""


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection of an engine. One whose user is cancelled is not used again: nobody knows what it is in the middle of."""
    connection = await engine.connect()
    try:
        yield connection
    except asyncio.CancelledError:
        await connection.invalidate()
        raise
    finally:
        await connection.close()


class Transactions:
    """Makes of a connection what a body is given. `clock` is asked instead of the database's own where there is one."""

    def __init__(self, statements: Statements, clock: Callable[[], int] | None) -> None:
        self._statements = statements
        self._clock = clock

    def on(self, connection: Connection, heads: HeadCache) -> SqlTransaction:
        """The transaction that the connection is in."""
        now = int(connection.execute(NOW).scalar_one()) if self._clock is None else self._clock()
        return SqlTransaction(connection, _Driver(connection), self._statements, heads, now, is_of_the_store)


class PostgresSession:
    """What the journal writes over. Every group has a transaction of its own, which sees each row as it is now."""

    def __init__(self, engine: AsyncEngine, transactions: Transactions) -> None:
        self._engine: Final = engine.execution_options(isolation_level="READ COMMITTED")
        self._transactions = transactions
        self._heads = HeadCache()

    async def transact(self, work: Callable[[SqlTransaction], None]) -> None:
        """Does work in one transaction and commits it."""
        try:
            async with connected(self._engine) as connection, connection.begin():
                await connection.run_sync(lambda own: work(self._transactions.on(own, self._heads)))
        except Exception:
            self._heads.clear()
            raise

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """The plain sentence where the error says that the store cannot write now; None for any other error."""
        return unavailable(error)

    def damage(self, error: Exception) -> str | None:
        """The plain sentence where the error says that nothing may be written any more; None for any other error."""
        return damage(error)


class _Driver:
    """The driver's connection under an engine's."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Any = connection.connection.dbapi_connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        cursor = self._connection.cursor()
        cursor.execute(sql, tuple(parameters))
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> Any:
        cursor = self._connection.cursor()
        cursor.executemany(sql, list(parameters))
        return cursor
