"""The fastest way into the same table: rows of the size that a node writes, in batches, and nothing else."""

import pathlib
import sqlite3
import time
from typing import Final

from sqlalchemy import create_engine
from sqlalchemy.schema import CreateTable

from perdure_control_plane.storage.tables import run_events

BATCHES: Final = (2, 200, 500, 1000, 2000)
"""Rows a commit, as far as so many can be under way at once."""
SECONDS: Final = 0.5
ROWS_A_RUN: Final = 25
EVENT: Final = bytes(24)
INSERT: Final = f"INSERT INTO run_events VALUES ({', '.join('?' * len(run_events.c))})"


def fastest_inserts(directory: pathlib.Path, most: int) -> float:
    """Rows a second of the batch size that does best, none larger than `most` rows."""
    return max(_rows_per_second(directory / f"raw-{batch}.db", batch) for batch in BATCHES if batch <= most)


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
