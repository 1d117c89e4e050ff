"""This copy of the data: a database can be restored, and a standby that lacks the last events can take its place."""

from typing import Final

from sqlalchemy import ColumnElement, insert, literal_column, select, text, update
from sqlalchemy.engine import Connection, Dialect

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.leases import StoreMark
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import store


class CopyStatements:
    """What is asked of a copy for every claim, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        another = select(store.c.origin != _THIS_COPY)
        self.is_another: Final = Prepared(another, dialect) if dialect.name == "postgresql" else None


class Copy:
    """Keeps the store's mark, and tells the copy that it was made in from another."""

    def __init__(self, connection: Connection, driver: DriverConnection, statements: CopyStatements) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements

    def mark(self) -> StoreMark | None:
        """The store's mark; None where it was never started."""
        row = self._connection.execute(select(store.c.generation, store.c.starts, store.c.origin)).first()
        return None if row is None else StoreMark(*row)

    def set_mark(self, mark: StoreMark) -> None:
        """Sets the store's mark."""
        values = {"generation": mark.generation, "starts": mark.starts, "origin": mark.origin}
        if self._connection.execute(update(store).values(values)).rowcount == 0:
            self._connection.execute(insert(store).values(id=1, keys_fingerprint="", **values))

    def origin(self) -> str:
        """Names this copy of the data: another one has been restored elsewhere, or was a standby that took over.

        Empty on SQLite, whose copies are alike; the count of starts beside it tells them apart.
        """
        if self._connection.dialect.name != "postgresql":
            return ""
        return str(self._connection.execute(select(_THIS_COPY)).scalar_one())

    def is_another(self) -> bool:
        """Whether the mark was made in another copy of the data than this one, so that what has happened since it was
        copied may be missing here."""
        if self._statements.is_another is None:
            return False
        row = self._statements.is_another.execute_row(self._driver, ()).fetchone()
        return row is not None and bool(row[0])

    def check_is_the_same(self) -> None:
        """Raises StoreUnavailable where this is another copy: a lease that it knows may have been revoked since, and what
        follows from events that it lacks may have been done."""
        if self.is_another():
            raise StoreUnavailable("postgresql", "another copy of the data has taken its place; it is being looked at")

    def is_replicated(self) -> bool:
        """Whether a commit is answered when a standby has it, too; false on SQLite, which has none."""
        if self._connection.dialect.name != "postgresql":
            return False
        return bool(self._connection.execute(_REPLICATED).scalar_one())

    def agree_on_keys(self, fingerprint: str) -> bool:
        """Notes which keys this store's servers have. False where others have said that they have others."""
        known = self._connection.execute(select(store.c.keys_fingerprint)).scalar_one_or_none()
        if known is None:  # no server was started on it yet
            self.set_mark(StoreMark(1, 0, self.origin()))
            known = ""
        if not known:
            self._connection.execute(update(store).values(keys_fingerprint=fingerprint))
        return known in ("", fingerprint)


_REPLICATED = text("""
    SELECT current_setting('synchronous_standby_names') <> ''
        AND current_setting('synchronous_commit') IN ('on', 'remote_apply')
""")

_THIS_COPY: Final[ColumnElement[str]] = literal_column("""(
    (SELECT system_identifier::text FROM pg_control_system())
        || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
        || '/' || (SELECT oid::text FROM pg_database WHERE datname = current_database())
)""")
"""The cluster, its timeline, and the database in it."""
