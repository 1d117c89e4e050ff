"""A database is copied as it is at one moment, whatever is written to it meanwhile."""

import contextlib
import pathlib
import sqlite3

import pytest

from perdure_control_plane.storage.sqlite_copy import PAGES_AT_ONCE, copy_database
from perdure_control_plane.storage.store_broken import StoreBroken


def test_what_is_written_during_a_copy_is_not_in_it_and_does_not_begin_it_anew(tmp_path: pathlib.Path) -> None:
    told: list[tuple[int, int]] = []
    with contextlib.closing(sqlite3.connect(tmp_path / "perdure.db", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE written (content BLOB)")
        writer.execute("INSERT INTO written VALUES (zeroblob(?))", (3 * PAGES_AT_ONCE * 4096,))

        def go_on(done: int, whole: int) -> None:
            told.append((done, whole))
            if len(told) < 10:
                writer.execute("INSERT INTO written VALUES ('later')")

        copy_database(tmp_path, tmp_path / "copy.db", go_on)

    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM written").fetchone() == (1,)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert len(told) > 3
    assert told[-1][0] == told[-1][1]
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]


def test_a_damaged_database_is_not_copied(tmp_path: pathlib.Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "perdure.db", isolation_level=None)) as writer:
        writer.execute("CREATE TABLE written (content TEXT)")
        writer.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
                       " INSERT INTO written SELECT 'some text ' || i FROM n")  # fmt: skip
    with (tmp_path / "perdure.db").open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(StoreBroken, match="damaged"):
        copy_database(tmp_path, tmp_path / "copy.db", lambda done, whole: None)
