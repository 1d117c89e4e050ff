"""What was deleted, by name: a line each, so that whoever asks for it is told, and so that its events go bit by bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.errors import Deleted, NotFound
from perdure_control_plane.domain.retention import Unpurged
from perdure_control_plane.storage.tables import deletions, run_events


@dataclass(frozen=True, slots=True)
class Deletion:
    """A flow or a run that was deleted. `events` is how many events its log had; 0 for a flow."""

    name: str
    ended_at: int
    events: int


class Deletions:
    """Keeps deletions, and deletes the events of deleted runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, deleted: Sequence[Deletion], at: int) -> None:
        """Notes what is deleted; a name that was used again, too."""
        names = [each.name for each in deleted]
        self._connection.execute(delete(deletions).where(deletions.c.name.in_(names)))
        rows = [
            {"name": each.name, "ended_at": each.ended_at, "deleted_at": at, "events": each.events, "purged": 0}
            for each in deleted
        ]
        self._connection.execute(insert(deletions), rows)

    def purge(self, max_events: int, max_bytes: int) -> int:
        """Deletes events of one deleted run, but for the first no more than `max_bytes`, and returns how many."""
        query = select(deletions.c.name, deletions.c.purged).where(deletions.c.purged < deletions.c.events).limit(1)
        row = self._connection.execute(query).first()
        if row is None:
            return 0
        name, purged = row
        of_run = run_events.c.run_id == name.removeprefix(RUNS)
        until = self._piece(of_run, purged, max_events, max_bytes)
        gone = self._connection.execute(delete(run_events).where(of_run, run_events.c.sequence <= until))
        done = {"purged": until if gone.rowcount else deletions.c.events}
        self._connection.execute(update(deletions).where(deletions.c.name == name).values(done))
        return gone.rowcount

    def _piece(self, of_run: ColumnElement[bool], purged: int, max_events: int, max_bytes: int) -> int:
        sizes = select(run_events.c.sequence, func.length(run_events.c.event)).where(of_run)
        piece = sizes.where(run_events.c.sequence > purged).order_by(run_events.c.sequence).limit(max_events)
        until, total = purged, 0
        for sequence, size in self._connection.execute(piece):
            total += size
            if total > max_bytes and until > purged:
                break
            until = sequence
        return until

    def unpurged(self) -> Unpurged:
        """What is left of deleted runs."""
        events = func.coalesce(func.sum(deletions.c.events - deletions.c.purged), 0)
        query = select(func.count(), events).where(deletions.c.purged < deletions.c.events)
        runs, left = self._connection.execute(query).one()
        return Unpurged(runs, int(left))

    def forget(self, before: int) -> None:
        """Drops what was deleted before a time, and whose events are gone."""
        whole = deletions.c.purged == deletions.c.events
        self._connection.execute(delete(deletions).where(deletions.c.deleted_at < before, whole))


RUNS: Final = "runs/"


def missing(connection: Connection, name: str) -> Deleted | NotFound:
    """What to say of a flow or a run that is not there."""
    deleted_at = connection.execute(select(deletions.c.deleted_at).where(deletions.c.name == name)).scalar()
    return NotFound(name) if deleted_at is None else Deleted(name, deleted_at)
