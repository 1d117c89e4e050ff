"""The sweeper's tick, the outages it has found, the store's generation, and the keys of its servers."""

from typing import Final

from sqlalchemy import ColumnElement, delete, insert, literal_column, select, text, update
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.leases import Outage, StoreMark
from perdure_control_plane.storage.tables import outages, store, sweeps

_SWEEP = "sweep"
_TRIAL = "trial"


class Upkeep:
    """Keeps ticks, outages and the store's mark."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tick(self, at: int) -> int:
        """Notes that a sweep runs now and returns when the one before ran; 0 for the first."""
        return self._note(_SWEEP, at)

    def keep_sweeps_out(self) -> None:
        """Lets no sweep begin, and no other that keeps them out, before this transaction ends; waits for one that has."""
        self._connection.execute(select(sweeps.c.name).where(sweeps.c.name == _SWEEP).with_for_update())

    def try_writing(self, at: int) -> None:
        """Changes something that nobody reads: the commit of a transaction that changed nothing says nothing of a disk."""
        self._note(_TRIAL, at)

    def _note(self, name: str, at: int) -> int:
        known = select(sweeps.c.ticked_at).where(sweeps.c.name == name).with_for_update()
        row = self._connection.execute(known).first()
        if row is None:
            self._connection.execute(insert(sweeps).values(name=name, ticked_at=at))
            return 0
        self._connection.execute(update(sweeps).where(sweeps.c.name == name).values(ticked_at=at))
        return int(row[0])

    def add_outage(self, outage: Outage) -> None:
        """Notes an outage."""
        self._connection.execute(insert(outages).values(began_at=outage.began_at, ended_at=outage.ended_at))

    def outages_since(self, at: int) -> list[Outage]:
        """Outages that ended after a time."""
        query = select(*outages.c).where(outages.c.ended_at > at).order_by(outages.c.began_at)
        return [Outage(*row) for row in self._connection.execute(query)]

    def forget_outages(self, before: int) -> None:
        """Drops outages that ended before a time."""
        self._connection.execute(delete(outages).where(outages.c.ended_at < before))

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

    def is_another_copy(self) -> bool:
        """Whether the mark was made in another copy of the data than this one, so that what has happened since it was
        copied may be missing here."""
        if self._connection.dialect.name != "postgresql":
            return False
        return bool(self._connection.execute(select(store.c.origin != _THIS_COPY)).scalar())

    def check_is_the_same_copy(self) -> None:
        """Raises StoreUnavailable where this is another copy: a lease that it knows may have been revoked since, and what
        follows from events that it lacks may have been done."""
        if self.is_another_copy():
            raise StoreUnavailable("postgresql", "another copy of the data has taken its place; it is being looked at")

    def is_replicated(self) -> bool:
        """Whether a commit is answered when a standby has it, too; false on SQLite, which has none."""
        if self._connection.dialect.name != "postgresql":
            return False
        return bool(self._connection.execute(_REPLICATED).scalar_one())

    def take_turn(self, name: str, at: int, every: int) -> bool:
        """Whether it is time for something that is done every so often, and no other server does it now."""
        self._connection.execute(_NEVER_DONE, {"name": name})
        is_time = (sweeps.c.name == name) & (sweeps.c.ticked_at <= at - every)
        return self._connection.execute(update(sweeps).where(is_time).values(ticked_at=at)).rowcount == 1

    def agree_on_keys(self, fingerprint: str) -> bool:
        """Notes which keys this store's servers have. False where others have said that they have others."""
        known = self._connection.execute(select(store.c.keys_fingerprint)).scalar_one()
        if not known:
            self._connection.execute(update(store).values(keys_fingerprint=fingerprint))
        return known in ("", fingerprint)


_REPLICATED = text("""
    SELECT current_setting('synchronous_standby_names') <> ''
        AND current_setting('synchronous_commit') IN ('on', 'remote_apply')
""")

_NEVER_DONE = text("INSERT INTO sweeps (name, ticked_at) VALUES (:name, 0) ON CONFLICT DO NOTHING")

_THIS_COPY: Final[ColumnElement[str]] = literal_column("""(
    (SELECT system_identifier::text FROM pg_control_system())
        || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
        || '/' || (SELECT oid::text FROM pg_database WHERE datname = current_database())
)""")
"""The cluster, its timeline, and the database in it."""
