"""Opening a PostgreSQL store: an empty database, one of a newer server, and none."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from perdure_control_plane.storage.migrate import SchemaUnknown
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.store_broken import StoreBroken
from tests.postgres import PostgresServer


@pytest.fixture
async def empty(postgres: PostgresServer) -> AsyncIterator[URL]:
    """A database without a table."""
    await postgres.execute('CREATE DATABASE "perdure_empty"')
    yield postgres.of("perdure_empty")
    await postgres.drop(postgres.of("perdure_empty"))


async def test_servers_that_start_at_once_on_an_empty_database_all_find_its_tables(empty: URL, clock: Any) -> None:
    stores = [PostgresStore(empty, clock) for _ in range(3)]

    await asyncio.gather(*(store.open() for store in stores))

    assert [await store.read(lambda tx: tx.runs.count_queued()) for store in stores] == [0, 0, 0]
    for store in stores:
        await store.close()


async def test_a_schema_of_a_newer_server_is_refused(postgres: PostgresServer, clock: Any) -> None:
    database = await postgres.make()
    await postgres.execute("UPDATE alembic_version SET version_num = '9999'", database)

    with pytest.raises(SchemaUnknown, match="9999, which this version does not know"):
        await PostgresStore(database, clock).open()

    await postgres.drop(database)


async def test_a_database_that_is_not_there_is_named_with_what_helps(postgres: PostgresServer, clock: Any) -> None:
    with pytest.raises(StoreBroken, match=r"/nowhere.*: there is no such database; create it, or name another"):
        await PostgresStore(postgres.of("nowhere"), clock).open()


async def test_a_server_that_cannot_be_reached_is_named_without_its_password(clock: Any) -> None:
    url = "postgresql://somebody:hidden@127.0.0.1:1/perdure"

    with pytest.raises(StoreBroken, match="cannot be reached") as refused:
        await PostgresStore(url, clock).open()

    assert "127.0.0.1" in str(refused.value)
    assert "hidden" not in str(refused.value)
