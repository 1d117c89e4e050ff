"""What SQLite's result codes mean for whoever runs the server, and which of them say that the database is damaged."""

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError

from perdure_control_plane.domain.errors import StoreUnavailable

DAMAGED: Final = "the database is damaged; look at the disk, and restore a backup into an empty directory"


def plain_sentence(error: Exception) -> str | None:
    """What a database's error means and what helps against it; None where it is no such error."""
    return _SENTENCES.get(_code(error))


def damage(error: Exception) -> str | None:
    """The plain sentence where the error says that the file holds no sound database; None for any other error.

    Nothing may be written any more then: each write could spread what is wrong, and none is sure to be found again.
    """
    return _SENTENCES[_code(error)] if _code(error) in _DAMAGE else None


def unavailable(error: Exception) -> StoreUnavailable | None:
    """What whoever asked is told where the error is the database's; None for any other error."""
    sentence = plain_sentence(error)
    return None if sentence is None else StoreUnavailable("sqlite", sentence)


def is_of_the_store(error: Exception) -> bool:
    """Whether an error says that the store cannot be written, or is damaged; no part of a body is to blame for that."""
    return isinstance(error, sqlite3.OperationalError | OperationalError) or damage(error) is not None


def _code(error: Exception) -> int:
    original = error.orig if isinstance(error, DBAPIError) else error
    # An extended code has the plain one in its lowest byte; errors that the driver itself raises have none.
    return getattr(original, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF


_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_HELD: Final = "another program holds the database; end it, and the server goes on by itself"

_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and the server goes on by itself",
    sqlite3.SQLITE_IOERR: "the disk does not take or give data; look at it, and restart the server when it does",
    sqlite3.SQLITE_READONLY: "the database may not be written; give this user the right to, and restart the server",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened; check that the directory exists and may be written",
    sqlite3.SQLITE_BUSY: _HELD,
    sqlite3.SQLITE_LOCKED: _HELD,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: "the file is not a database; restore a backup into an empty directory",
}
