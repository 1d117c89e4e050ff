"""The driver's own connection under an engine's, as synchronous code calls it from a greenlet.

The engine's way to execute a statement takes about as long as PostgreSQL needs to run it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import await_only

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.storage.postgres_errors import BUSY

_READING: Final = "SELECT"
_RETURNING: Final = (_READING, "WITH")
"""How statements begin that give rows."""


class PostgresDriver:
    """One connection. Its transaction begins with the first statement that needs one."""

    def __init__(self, connection: asyncpg.Connection, begin: str) -> None:
        """`begin` is the statement that begins a transaction."""
        self._connection = connection
        self._begin = begin
        self.begun = False
        self.wrote_alone = False
        """Whether a statement was sent that may have been committed as soon as it was done."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> "PostgresResult":
        """Runs a statement in the transaction."""
        self.begin()
        return self.execute_alone(sql, parameters)

    def execute_alone(self, sql: str, parameters: Sequence[Any] = ()) -> "PostgresResult":
        """Runs a statement, a transaction of its own unless one has begun. A row that is busy is StoreUnavailable."""
        self.wrote_alone = self.wrote_alone or not (self.begun or sql.startswith(_READING))
        try:
            if sql.startswith(_RETURNING):
                return PostgresResult(await_only(self._connection.fetch(sql, *parameters)))
            status: str = await_only(self._connection.execute(sql, *parameters))
        except asyncpg.LockNotAvailableError as error:
            raise StoreUnavailable("postgresql", BUSY, one_row=True) from error
        count = status.rpartition(" ")[2]
        return PostgresResult([], int(count) if count.isdecimal() else -1)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> "PostgresResult":
        """Runs a statement for each row of parameters, all of them in one round trip."""
        self.begin()
        await_only(self._connection.executemany(sql, parameters))
        return PostgresResult([])

    def begin(self) -> None:
        """Begins the transaction, unless it has begun."""
        if not self.begun:
            self.begun = True
            await_only(self._connection.execute(self._begin))

    async def end(self, statement: str) -> None:
        """Commits or rolls back what has begun."""
        if self.begun:
            await self._connection.execute(statement)


class PostgresResult:
    """What a statement gave."""

    def __init__(self, rows: Sequence[Any], rowcount: int = -1) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def fetchone(self) -> Any:
        """The first row, or None."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        """All rows."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def close(self) -> None:
        """There is nothing to give back."""


def driver_of(connection: AsyncConnection) -> asyncpg.Connection:
    """The driver's own connection."""
    checked_out: Any = connection.sync_connection
    return checked_out.connection.driver_connection
