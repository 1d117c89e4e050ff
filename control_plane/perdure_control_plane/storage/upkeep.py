"""Turns of what servers do every so often, and the outages that the sweeper has found."""

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.leases import Outage
from perdure_control_plane.storage.tables import outages, sweeps

_SWEEP = "sweep"
_TRIAL = "trial"


class Upkeep:
    """Keeps turns and outages."""

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

    def take_turn(self, name: str, at: int, every: int) -> bool:
        """Whether it is time for something that is done every so often, and no other server does it now."""
        self._connection.execute(_NEVER_DONE, {"name": name})
        is_time = (sweeps.c.name == name) & (sweeps.c.ticked_at <= at - every)
        return self._connection.execute(update(sweeps).where(is_time).values(ticked_at=at)).rowcount == 1


_NEVER_DONE = text("INSERT INTO sweeps (name, ticked_at) VALUES (:name, 0) ON CONFLICT DO NOTHING")
