"""What a test says of the stores it is for, and what it does to one behind its back."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text, update

from perdure_control_plane.storage import tables
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.postgres_session import PostgresSession
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.storage.sqlite_session import SqliteSession

ON_SQLITE = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
"""For what only a file can meet: a full disk, damage, another program's lock."""

ON_POSTGRES = pytest.mark.parametrize("store", ["postgres"], indirect=True)
"""For what several servers on one database can do to each other."""


def stored_events(store: SqliteStore | PostgresStore, run_id: str) -> int:
    """How many events of a run somebody else finds in the database at this moment; the store's own loop stands still."""
    if isinstance(store, SqliteStore):
        with closing(sqlite3.connect(store.path)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM run_events WHERE run_id = ?", (run_id,)).fetchone()
            return int(count)
    url = store.url.set(drivername="postgresql").render_as_string(hide_password=False)

    async def count_them() -> int:
        connection = await asyncpg.connect(url)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM run_events WHERE run_id = $1", run_id))
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, count_them()).result()


async def refuse_events(house: Any, run_id: str = "%") -> None:
    """Lets the database refuse every event of a run, or of all, as a check of its own would."""
    if isinstance(house.store, SqliteStore):
        trigger = f"BEGIN SELECT RAISE(ABORT, 'no') WHERE new.run_id LIKE '{run_id}'; END"
        await house.execute(text(f"CREATE TRIGGER no BEFORE INSERT ON run_events {trigger}"))
        return
    function = f"BEGIN IF new.run_id LIKE '{run_id}' THEN RAISE check_violation; END IF; RETURN new; END"
    await house.execute(text(f"CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ {function} $$"))
    await house.execute(text("CREATE TRIGGER no BEFORE INSERT ON run_events FOR EACH ROW EXECUTE FUNCTION no()"))


async def take_events_again(house: Any) -> None:
    """Ends what `refuse_events` began."""
    on = "" if isinstance(house.store, SqliteStore) else " ON run_events"
    await house.execute(text(f"DROP TRIGGER no{on}"))


def lose_a_commit(monkeypatch: pytest.MonkeyPatch, store: SqliteStore | PostgresStore, *, is_done: bool) -> None:
    """Lets the next shared commit fail, done or not: nobody can tell."""
    if isinstance(store, SqliteStore):
        commit = SqliteSession.commit

        def fails_once(session: Any) -> None:
            monkeypatch.setattr(SqliteSession, "commit", commit)
            if is_done:
                commit(session)
            raise OSError

        monkeypatch.setattr(SqliteSession, "commit", fails_once)
        return
    transact = PostgresSession.transact

    async def loses_its_connection(session: Any, work: Any) -> None:
        monkeypatch.setattr(PostgresSession, "transact", transact)
        if is_done:
            await transact(session, work)
        raise asyncpg.ConnectionDoesNotExistError

    monkeypatch.setattr(PostgresSession, "transact", loses_its_connection)


async def go_back(house: Any, starts: int) -> int | None:
    """Makes of the store what a restore leaves. Returns the count of starts that is found beside it."""
    if isinstance(house.store, SqliteStore):
        return starts + 1
    await house.execute(update(tables.store).values(origin="the copy it was restored from"))
    return None
