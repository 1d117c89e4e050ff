"""The SQLite store: how it is opened, its one writer, and its readers."""

import asyncio
import contextlib
import errno
import fcntl
import os
import pathlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, Final, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from perdure_control_plane.storage.heads import HeadCache
from perdure_control_plane.storage.listened_store import ListenedStore
from perdure_control_plane.storage.migrate import migrate
from perdure_control_plane.storage.sqlite_errors import DAMAGED, damage, is_of_the_store, plain_sentence, unavailable
from perdure_control_plane.storage.sqlite_session import SqliteSession, driver_of
from perdure_control_plane.storage.store_broken import StoreBroken
from perdure_control_plane.storage.unit_of_work import SqlTransaction, statements_of
from perdure_control_plane.storage.writer import Writer
from perdure_control_plane.usecases.ports import Order

T = TypeVar("T")

READERS: Final = 3
"""Connections that read beside the writer."""

DATABASE: Final = "perdure.db"
LOCK: Final = "perdure.lock"


class SqliteStore(ListenedStore):
    """A data directory with one database, held by one server."""

    def __init__(self, directory: pathlib.Path, clock: Callable[[], int]) -> None:
        """`clock` gives microseconds since 1970; it is the store's clock."""
        super().__init__()
        self._directory = directory
        self._clock = clock
        self._lock: IO[str] | None = None

    kind: Final = "sqlite"

    @property
    def path(self) -> pathlib.Path:
        """The database file."""
        return self._directory / DATABASE

    def __str__(self) -> str:
        return str(self.path)

    async def open(self) -> None:
        """Locks the directory, checks and migrates the database, and starts the writer. Raises StoreBroken."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = lock_directory(self._directory)
        except OSError as error:
            reason = f"cannot be used: {error.strerror}; name one that may be made and written"
            raise StoreBroken(f"the data directory {self._directory} {reason}") from error
        try:
            self._engine = _engine(self.path)
            await asyncio.get_running_loop().run_in_executor(None, self._prepare)
        except BaseException:
            self._lock.close()
            raise
        self._statements = statements_of(self._engine.dialect)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        session = await asyncio.get_running_loop().run_in_executor(self._thread, self._open_session)
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(session, self._publish, self._fail)
        self._writer.start()

    def _prepare(self) -> None:
        try:
            check_structure(self.path)
            migrate(self._engine)
        except (sqlite3.DatabaseError, DBAPIError) as error:
            sentence = plain_sentence(error)
            if sentence is None:
                raise
            raise StoreBroken(f"{self.path}: {sentence}") from error

    def _open_session(self) -> SqliteSession:
        return SqliteSession(self._engine.connect(), self._statements, self._clock, self._thread)

    async def close(self) -> None:
        """Commits what was submitted, closes the database and frees the directory."""
        await self._writer.stop()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._session.close)
        self._thread.shutdown()
        self._readers.shutdown()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()

    async def write(self, body: Callable[[SqlTransaction], T], order: Order = Order.ALONE) -> T:
        """Runs a body in the next commit; see Writer.write. Nobody else writes meanwhile: only FIRST changes anything."""
        return await self._writer.write(body, first=order is Order.FIRST)

    async def read(self, body: Callable[[SqlTransaction], T]) -> T:
        """Runs a body on one snapshot of the store, beside the writer. Raises StoreUnavailable where it cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, body)

    def _read(self, body: Callable[[SqlTransaction], T]) -> T:
        try:
            return self._read_snapshot(body)
        except (sqlite3.Error, DBAPIError) as error:
            if damage(error) is not None:
                self._loop.call_soon_threadsafe(self._writer.fail, error)
            refusal = unavailable(error)
            if refusal is None:
                raise
            raise refusal from error

    def _read_snapshot(self, body: Callable[[SqlTransaction], T]) -> T:
        with self._engine.connect() as connection:
            driver = driver_of(connection)
            driver.execute("BEGIN")
            try:
                return body(
                    SqlTransaction(connection, driver, self._statements, HeadCache(), self._clock(), is_of_the_store)
                )
            finally:
                driver.execute("ROLLBACK")


def _engine(path: pathlib.Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        isolation_level="AUTOCOMMIT",
        connect_args={"check_same_thread": False, "timeout": 5.0},
        poolclass=QueuePool,
        pool_size=READERS + 1,
    )
    event.listen(engine, "connect", _set_up)
    return engine


def _set_up(connection: sqlite3.Connection, record: Any) -> None:
    # The writer says BEGIN itself; the driver would begin too late, and deferred.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "wal_autocheckpoint=4000",
        "cache_size=-65536",
    ):
        connection.execute(f"PRAGMA {pragma}")


def check_structure(path: pathlib.Path) -> None:
    """Reads the file's structure. Raises sqlite3.DatabaseError or StoreBroken where it is not a sound database."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreBroken(f"{path}: {DAMAGED}")


def lock_directory(directory: pathlib.Path) -> IO[str]:
    """Takes a data directory for this process, until the file that it returns is closed. Raises StoreBroken, OSError."""
    file = (directory / LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise StoreBroken(
            f"{directory} is held by another server (process {holder}); stop it, or name another directory"
        ) from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
