"""A copy of a SQLite database, whole, as it is at one moment, while a server may write to it."""

import contextlib
import pathlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Final

from perdure_control_plane.storage.sqlite import DATABASE
from perdure_control_plane.storage.sqlite_errors import DAMAGED, plain_sentence
from perdure_control_plane.storage.store_broken import StoreBroken

PAGES_AT_ONCE: Final = 1024
"""Pages that are copied between two words about how far it is."""


def copy_database(directory: pathlib.Path, to: pathlib.Path, tell: Callable[[int, int], None]) -> None:
    """Copies the database of a data directory to a file that is not there yet, and reads the whole copy once.

    `tell` is called with how many pages are copied, and how many there are. Raises StoreBroken, also where the file
    cannot be written.
    """
    path = directory / DATABASE
    if not path.is_file():
        raise StoreBroken(f"{path} does not exist; name the directory that a server was started with")
    with _said_plainly(f"{path}, copied to {to}"), contextlib.closing(_reading(path)) as source:
        # One snapshot for the whole copy: without it every commit of a server that runs would begin the copy anew.
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_master").fetchone()
        with contextlib.closing(sqlite3.connect(to)) as target:
            source.backup(target, pages=PAGES_AT_ONCE, progress=lambda _, left, pages: tell(pages - left, pages))
            # A single file, with no log beside it; a server that opens it writes one again.
            target.execute("PRAGMA journal_mode=DELETE")
            (verdict,) = target.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise StoreBroken(f"{path}: {DAMAGED}")


def _reading(path: pathlib.Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path.resolve()}?mode=ro", uri=True, isolation_level=None)


@contextlib.contextmanager
def _said_plainly(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        sentence = plain_sentence(error)
        if sentence is None:
            raise
        raise StoreBroken(f"{what}: {sentence}") from error
