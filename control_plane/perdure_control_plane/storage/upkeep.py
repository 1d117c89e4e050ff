"""The sweeper's tick, the outages it has found, and the store's generation."""

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Connection

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

    def try_writing(self, at: int) -> None:
        """Changes something that nobody reads: the commit of a transaction that changed nothing says nothing of a disk."""
        self._note(_TRIAL, at)

    def _note(self, name: str, at: int) -> int:
        row = self._connection.execute(select(sweeps.c.ticked_at).where(sweeps.c.name == name)).first()
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
        row = self._connection.execute(select(store.c.generation, store.c.starts)).first()
        return None if row is None else StoreMark(*row)

    def set_mark(self, mark: StoreMark) -> None:
        """Sets the store's mark."""
        values = {"generation": mark.generation, "starts": mark.starts}
        if self._connection.execute(update(store).values(values)).rowcount == 0:
            self._connection.execute(insert(store).values(id=1, **values))
