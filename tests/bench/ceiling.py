"""The same table filled by a program that does nothing else: rows of the size that a node writes, in batches.

It writes as the journal does, on PostgreSQL with one statement of arrays for each commit, on SQLite with one statement for
many rows. PostgreSQL's COPY takes up to twice as many rows, in round trips of its own: nothing can be guarded in it.
"""

import itertools
import pathlib
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final

import asyncpg
from sqlalchemy import create_engine
from sqlalchemy.schema import CreateTable

from perdure_control_plane.storage.tables import run_events
from tests.bench.target import Stores

BATCHES: Final = (2, 200, 500)
"""Rows a commit, as far as so many can be under way at once."""
SECONDS: Final = 0.5
ROWS_A_RUN: Final = 25
EVENT: Final = bytes(24)
INSERT: Final = f"INSERT INTO run_events VALUES ({', '.join('?' * len(run_events.c))})"
POSTGRES_INSERT: Final = """
INSERT INTO run_events SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
    $9::bigint[], $10::bytea[])
"""


async def fastest_inserts(store: str, stores: Stores, directory: pathlib.Path, most: int) -> float:
    """Rows a second of the batch size that does best, no batch larger than `most` rows."""
    batches = [batch for batch in BATCHES if batch <= most]
    if store == "postgresql":
        return await _fastest_on_postgres(stores, batches)
    return max(_rows_per_second(directory / f"raw-{batch}.db", batch) for batch in batches)


def _rows_per_second(path: pathlib.Path, batch: int) -> float:
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000"):
        database.execute(f"PRAGMA {pragma}")
    database.execute(str(CreateTable(run_events).compile(create_engine("sqlite://"))))
    written, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        rows = [_row(number) for number in range(written, written + batch)]
        database.execute("BEGIN IMMEDIATE")
        database.executemany(INSERT, rows)
        database.execute("COMMIT")
        written += batch
    seconds = time.perf_counter() - begun
    database.close()
    return written / seconds


async def _fastest_on_postgres(stores: Stores, batches: list[int]) -> float:
    assert stores.postgres is not None
    url = await stores.postgres.make()
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))

    async def store(rows: list[Any]) -> None:
        await connection.execute(POSTGRES_INSERT, *map(list, zip(*rows, strict=True)))

    try:
        numbers = itertools.count()
        return max([await _rate(store, numbers, batch) for batch in batches])
    finally:
        await connection.close()
        await stores.postgres.drop(url)


async def _rate(store: Callable[[list[Any]], Any], numbers: Any, batch: int) -> float:
    written, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        await store([_row(number) for number in itertools.islice(numbers, batch)])
        written += batch
    return written / (time.perf_counter() - begun)


def _row(number: int) -> tuple[object, ...]:
    run, sequence = divmod(number, ROWS_A_RUN)
    lease = "0123456789abcdef0123456789abcdef"
    return (
        f"01a1fe94-fa7e-72c3-9f24-{run:012x}",
        sequence,
        1_700_000_000_000_000,
        lease,
        1,
        sequence,
        None,
        None,
        32,
        EVENT,
    )
