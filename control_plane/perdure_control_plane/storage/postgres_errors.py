"""What PostgreSQL's error codes mean for whoever runs the server, and which of them are over when it is tried again."""

from collections.abc import Iterator
from typing import Any, Final

import asyncpg
from sqlalchemy.exc import DBAPIError

from perdure_control_plane.domain.errors import Conflict, StoreUnavailable


class NoPrimary(ConnectionError):
    """None of the servers that an address names may be written."""


BUSY: Final = "the database was busy with the same rows for too long; try again"
DAMAGED: Final = "the database is damaged; look at its server's log, and restore a backup"


def plain_sentence(error: Exception) -> str | None:
    """What a database's error means and what helps against it; None where it is no such error."""
    found = code(error)
    if found in _SENTENCES:
        return _SENTENCES[found]
    if isinstance(error, NoPrimary):
        return _STANDBY
    return _UNREACHABLE if found[:2] == "08" or is_disconnect(error) else None


def damage(error: Exception) -> str | None:
    """The plain sentence where the error says that the database is damaged; None for any other error."""
    return DAMAGED if code(error) in _DAMAGE else None


def unavailable(error: Exception) -> StoreUnavailable | None:
    """What whoever asked is told where the error is the database's; None for any other error."""
    sentence = plain_sentence(error)
    return None if sentence is None else StoreUnavailable("postgresql", sentence)


def is_of_the_store(error: Exception) -> bool:
    """Whether an error says something about the database, or about others at it, whatever part of a body met it."""
    if isinstance(error, StoreUnavailable) and error.one_row:
        return False
    return plain_sentence(error) is not None or is_over_when_repeated(error)


def is_over_when_repeated(error: Exception) -> bool:
    """Whether the same body, run again on what the others have committed meanwhile, may succeed.

    Another transaction was first at the same rows: with a change to them, or with a row of the same key.
    """
    return isinstance(error, Conflict) or code(error) in _REPEATED


def is_away(error: Exception) -> bool:
    """Whether the database cannot be reached, or lets nobody in, for now."""
    return is_disconnect(error) or code(error) in _AWAY or code(error)[:2] == "08"


def is_disconnect(error: Exception) -> bool:
    """Whether the connection is gone, could not be made, or is in a state that the driver does not know its way out of."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return any(isinstance(cause, _GONE) for cause in _causes(error))


def code(error: Exception) -> str:
    """The SQLSTATE of an error, empty where it has none."""
    return next((cause.sqlstate for cause in _causes(error) if getattr(cause, "sqlstate", None)), "")


def _causes(error: BaseException) -> Iterator[Any]:
    """The error and what it stands for: SQLAlchemy's, its adapter's, and the driver's own."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.orig if isinstance(cause, DBAPIError) else cause.__cause__


_GONE: Final = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
)

_REPEATED: Final = frozenset({"40001", "40P01", "23505"})
"""serialization_failure, deadlock_detected, unique_violation."""

_AWAY: Final = frozenset({"57P01", "57P02", "57P03", "53300"})
"""admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections."""

_DAMAGE: Final = frozenset({"XX001", "XX002"})
"""data_corrupted, index_corrupted."""

_UNREACHABLE: Final = "the database cannot be reached; see that it runs, and the server goes on by itself"
_STARTING: Final = "the database starts or stops; the server goes on by itself when it is there"

_STANDBY: Final = "no database that is named may be written now; see that one of them is the primary"

_SENTENCES: Final = {
    "40001": BUSY,
    "40P01": BUSY,
    "55P03": BUSY,
    "57014": "the database took too long to answer; look at its load, and try again",
    "57P01": _STARTING,
    "57P02": _STARTING,
    "57P03": _STARTING,
    "53100": "the database's disk is full; free some space and the server goes on by itself",
    "53300": "the database has no connection left; let it have more, or give this server fewer",
    "25006": _STANDBY,
    "28P01": "the database does not take this password; see to the address that the server was given",
    "28000": "the database does not let this user in; see to the address that the server was given",
    "3D000": "there is no such database; create it, or name another",
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}
