"""The connection that a SQLite store is written over.

Statements run on the event loop's own thread: each takes microseconds and gives the interpreter lock away once, and in a
thread beside a busy loop it would wait for that lock for longer than it runs. The commit waits for the disk: on a fast
disk for less than handing it to a thread takes, on any other in the store's thread.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from sqlalchemy.engine import Connection

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.storage.heads import HeadCache
from perdure_control_plane.storage.sqlite_errors import damage, is_of_the_store, unavailable
from perdure_control_plane.storage.unit_of_work import SqlTransaction, Statements

HAND_OVER_SECONDS: Final = 0.001
"""Commits that have lately taken longer than this are waited for in the store's thread."""


class SqliteSession:
    """The writer's connection. Transactions and savepoints are said to the driver itself."""

    def __init__(
        self, connection: Connection, statements: Statements, clock: Callable[[], int], thread: ThreadPoolExecutor
    ) -> None:
        """`thread` is where commits wait for a slow disk."""
        self._connection = connection
        self._driver = driver_of(connection)
        self._statements = statements
        self._clock = clock
        self._thread = thread
        self._heads = HeadCache()
        self._commit_seconds = 0.0

    async def transact(self, work: Callable[[SqlTransaction], None]) -> None:
        """Does work in one transaction and commits it."""
        try:
            self._driver.execute("BEGIN IMMEDIATE")
            work(self._transaction())
            begun = time.perf_counter()
            if self._commit_seconds < HAND_OVER_SECONDS:
                self.commit()
            else:
                await asyncio.get_running_loop().run_in_executor(self._thread, self.commit)
        except Exception as error:
            if damage(error) is None:
                self._rollback()
            raise
        # Rises with the first slow commit and falls over the next few, so that a disk that stalls is waited for
        # elsewhere.
        self._commit_seconds = max(time.perf_counter() - begun, 0.8 * self._commit_seconds)

    def _transaction(self) -> SqlTransaction:
        return SqlTransaction(
            self._connection, self._driver, self._statements, self._heads, self._clock(), is_of_the_store
        )

    def commit(self) -> None:
        """Commits what was begun."""
        self._driver.execute("COMMIT")

    def _rollback(self) -> None:
        self._heads.clear()
        if self._driver.in_transaction:
            self._driver.execute("ROLLBACK")

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """The plain sentence where the error says that the store cannot write now; None for any other error."""
        return unavailable(error)

    def damage(self, error: Exception) -> str | None:
        """The plain sentence where the error says that nothing may be written any more; None for any other error."""
        return damage(error)

    def close(self) -> None:
        """Gives the connection back."""
        self._connection.close()


def driver_of(connection: Connection) -> Any:
    """The driver's own connection."""
    return connection.connection.driver_connection
