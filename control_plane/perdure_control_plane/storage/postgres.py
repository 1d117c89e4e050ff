"""The PostgreSQL store: any number of control planes on one database.

Holders' batches go through the journal's writer, guarded by their statements. Every other body has a serialisable
transaction of its own, which is repeated where another was first at the same rows.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final, TypeVar

import structlog
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from perdure.runlog.states import RunState
from perdure_control_plane.domain.admission import Answer, Batch
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.storage.heads import HeadCache
from perdure_control_plane.storage.migrate import migrate_postgres, require_current_schema
from perdure_control_plane.storage.postgres_errors import is_over_when_repeated, plain_sentence, unavailable
from perdure_control_plane.storage.postgres_hints import Hint, PostgresHints
from perdure_control_plane.storage.postgres_session import PostgresSession, Transactions, connected
from perdure_control_plane.storage.store_broken import StoreBroken
from perdure_control_plane.storage.unit_of_work import SqlTransaction, Statements
from perdure_control_plane.storage.writer import Committed, Writer

log = structlog.get_logger(__name__)

T = TypeVar("T")

CONNECTIONS: Final = 10
REPEATS: Final = 20
"""How often a body is run again because another transaction was first."""
REPEAT_SECONDS: Final = 0.1
"""Longest pause before that; drawn between nothing and it."""

SETTINGS: Final = {
    "application_name": "perdure",
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "synchronous_commit": "on",
}


class PostgresStore:
    """A database that every control plane named the same URL for shares."""

    def __init__(self, url: str | URL, clock: Callable[[], int] | None = None) -> None:
        """`url` names the database; `clock` gives microseconds since 1970, and stands in for the database's own."""
        self.url: Final = make_url(url).set(drivername="postgresql+asyncpg")
        self._clock = clock
        self._committed: list[Callable[[Committed], None]] = []
        self._failure_listeners: list[Callable[[], None]] = []
        self._silences: list[Callable[[], None]] = []
        self.failure = ""
        """A plain sentence where an error has ended the writer: nothing is written until the store is opened again."""

    kind: Final = "postgresql"

    def __str__(self) -> str:
        return self.url.set(drivername="postgresql").render_as_string(hide_password=True)

    async def open(self) -> None:
        """Migrates the database and starts the journal. Raises StoreBroken and SchemaUnknown."""
        await self._connect(migrate_postgres)
        self._writer = Writer(PostgresSession(self._engine, self._transactions), self._publish, self._fail)
        self._writer.start()
        address = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._hints = PostgresHints(address, self._hear, self._look_again)
        self._hints.start()

    async def inspect(self, body: Callable[[SqlTransaction], T]) -> T:
        """Runs a body on one snapshot of a store that is not open. Raises StoreBroken and SchemaUnknown."""
        await self._connect(require_current_schema)
        try:
            return await self.read(body)
        finally:
            await self._engine.dispose()

    async def _connect(self, look: Callable[[Connection], None]) -> None:
        engine = create_async_engine(
            self.url,
            isolation_level="SERIALIZABLE",
            pool_size=CONNECTIONS,
            max_overflow=0,
            connect_args={"server_settings": SETTINGS},
        )
        try:
            async with engine.execution_options(isolation_level="READ COMMITTED").begin() as connection:
                await connection.run_sync(look)
        except Exception as error:
            await engine.dispose()
            sentence = plain_sentence(error)
            if sentence is None:
                raise
            raise StoreBroken(f"{self}: {sentence}") from error
        self._engine: AsyncEngine = engine
        self._reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._transactions = Transactions(Statements(engine.dialect), self._clock)

    async def close(self) -> None:
        """Commits what was submitted and gives the connections back."""
        await self._writer.stop()
        await self._hints.stop()
        await self._engine.dispose()

    def on_commit(self, listener: Callable[[Committed], None]) -> None:
        """Calls `listener` after every commit that changed a run, of this process and of others, as far as is heard."""
        self._committed.append(listener)

    def on_silence(self, listener: Callable[[], None]) -> None:
        """Calls `listener` when commits of others may have been missed."""
        self._silences.append(listener)

    def on_failure(self, listener: Callable[[], None]) -> None:
        """Calls `listener` when an error has ended the writer."""
        self._failure_listeners.append(listener)

    def append(self, batch: Batch, reply: Callable[[Answer], None]) -> None:
        """Submits a holder's batch; `reply` is called after the commit."""
        self._writer.append(batch, reply)

    async def write(self, body: Callable[[SqlTransaction], T], *, first: bool = False) -> T:
        """Runs a body in a transaction of its own and returns what it returned, or raises what it raised.

        The body may run several times; what counts is the last. Nobody waits in line here, so `first` changes nothing.
        Raises StoreUnavailable where the store cannot write now.
        """
        if self.failure:
            raise StoreUnavailable("postgresql", self.failure)
        for left in reversed(range(REPEATS)):
            try:
                return await self._write_once(body)
            except Exception as error:
                if left and is_over_when_repeated(error):
                    await asyncio.sleep(random.uniform(0.0, REPEAT_SECONDS))  # noqa: S311  # jitter, not a secret
                    continue
                raise _told(error) from error
        raise AssertionError("the last repetition returns or raises")

    async def _write_once(self, body: Callable[[SqlTransaction], T]) -> T:
        async with connected(self._engine) as connection, connection.begin():
            result, committed = await connection.run_sync(self._run, body)
        if committed is not None:
            self._publish(committed)
        return result

    def _run(self, connection: Connection, body: Callable[[SqlTransaction], T]) -> tuple[T, Committed | None]:
        transaction = self._transactions.on(connection, HeadCache())
        result = body(transaction)
        changed = transaction.log.changed
        if not changed:
            return result, None
        runs = [run.run_id for run in changed]
        return result, Committed(runs, runs, any(run.head.state is RunState.QUEUED for run in changed))

    async def read(self, body: Callable[[SqlTransaction], T]) -> T:
        """Runs a body on one snapshot of the store. Raises StoreUnavailable where it cannot be read."""
        try:
            async with connected(self._reading) as connection:
                return await connection.run_sync(lambda own: body(self._transactions.on(own, HeadCache())))
        except Exception as error:
            raise _told(error) from error

    def _fail(self, why: str) -> None:
        self.failure = why
        for listener in self._failure_listeners:
            listener()

    def _publish(self, committed: Committed) -> None:
        self._hints.tell(committed.run_ids, committed.facts, queued=committed.queued)
        for listener in self._committed:
            listener(committed)

    def _hear(self, hint: Hint) -> None:
        for listener in self._committed:
            listener(Committed(hint.run_ids, hint.facts, hint.queued))

    def _look_again(self) -> None:
        for listener in self._silences:
            listener()


def _told(error: Exception) -> Exception:
    """The error as a caller is to see it."""
    return unavailable(error) or error
