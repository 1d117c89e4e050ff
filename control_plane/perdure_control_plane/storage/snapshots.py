"""Snapshots: one for each long run, the latest. A cache of `run_events`; nothing is lost with it."""

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from perdure.runlog.snapshots import Snapshot
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.snapshot import RunSnapshot
from perdure_control_plane.storage.tables import run_snapshots

_HEAD = (
    run_snapshots.c.sequence,
    run_snapshots.c.seen,
    run_snapshots.c.fold_version,
    run_snapshots.c.form,
    run_snapshots.c.head_digest,
    run_snapshots.c.state,
)


class Snapshots:
    """Reads and stores snapshots."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, run_id: RunId, *, contents: bool = True) -> RunSnapshot | None:
        """A run's snapshot, or None. Without `contents` what people and programs wrote is not read."""
        columns = (*_HEAD, run_snapshots.c.contents) if contents else _HEAD
        row = self._connection.execute(select(*columns).where(run_snapshots.c.run_id == run_id)).first()
        if row is None:
            return None
        walk = Snapshot(row.sequence, row.seen, row.form, row.state, row.contents if contents else b"")
        return RunSnapshot(run_id, walk, row.fold_version, row.head_digest)

    def put(self, snapshot: RunSnapshot) -> None:
        """Stores a snapshot unless there is one of the same or a later position."""
        walk = snapshot.walk
        values = {
            "sequence": walk.sequence,
            "seen": walk.seen,
            "fold_version": snapshot.fold_version,
            "form": walk.form,
            "head_digest": snapshot.head_digest,
            "state": walk.state,
            "contents": walk.contents,
        }
        of_run = run_snapshots.c.run_id == snapshot.run_id
        older = run_snapshots.c.sequence < walk.sequence
        if self._connection.execute(update(run_snapshots).where(of_run, older).values(values)).rowcount:
            return
        if self._connection.execute(select(run_snapshots.c.run_id).where(of_run)).first() is None:
            self._connection.execute(insert(run_snapshots).values(run_id=snapshot.run_id, **values))
