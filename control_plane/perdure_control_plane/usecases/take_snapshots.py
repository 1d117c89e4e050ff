"""Takes a snapshot of a log that has grown. It is read and folded outside of any commit, piece by piece."""

from functools import partial
from typing import Final

from perdure.runlog.digests import next_digest
from perdure.runlog.snapshots import take_snapshot
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run import Run
from perdure_control_plane.domain.snapshot import RunSnapshot
from perdure_control_plane.usecases.fold_run import READ_BYTES_AT_ONCE, Position, fold_next, position_of
from perdure_control_plane.usecases.ports import Store, Transaction

FOLDED_AT_ONCE: Final = 100
"""Events that are folded between two looks at what else there is to do."""

EVENT_BYTES: Final = 1024
"""What an event counts for: a snapshot is taken as seldom as it is large, so that all of them together are not."""


async def snapshot_run(store: Store, run_id: RunId, every: int) -> int:
    """Takes a snapshot of a run at its last event, where it is due. Returns its sequence, or 0.

    Raises NotFound, RunStateForbids, DataCorrupt, VersionUnsupported, StoreUnavailable.
    """
    generation, run, position = await store.read(lambda tx: _begin(tx, run_id))
    last = run.head.last_sequence
    if last - position.sequence < max(every, position.size // EVENT_BYTES):
        return 0
    while position.sequence < last:
        before = position
        position = await store.read(partial(_fold_on, run_id=run_id, before=before, last=last))
        if position.sequence == before.sequence:
            return 0  # the rest is gone: the run was deleted meanwhile, or the store went back
    taken = take_snapshot(position.walk, position.sequence)
    snapshot = RunSnapshot(run_id, taken, run.identity.fold_version, position.digest)
    return taken.sequence if await store.write(lambda tx: _put(tx, snapshot, generation)) else 0


def _put(tx: Transaction, snapshot: RunSnapshot, generation: int) -> bool:
    """Stores a snapshot, unless the run was deleted meanwhile, or the store went back and may not have what was folded."""
    if tx.runs.find(snapshot.run_id) is None or tx.copy.is_another() or _generation(tx) != generation:
        return False
    tx.snapshots.put(snapshot)
    return True


def _generation(tx: Transaction) -> int:
    mark = tx.copy.mark()
    return 0 if mark is None else mark.generation


def _begin(tx: Transaction, run_id: RunId) -> tuple[int, Run, Position]:
    run = tx.runs.get(run_id)
    return _generation(tx), run, position_of(tx, run)


def _fold_on(tx: Transaction, run_id: RunId, before: Position, last: int) -> Position:
    """The position after the next events; the walk is the one before, folded on."""
    limit = min(FOLDED_AT_ONCE, last - before.sequence)
    sequence, digest = before.sequence, before.digest
    for recorded, stored in tx.events.stored_after(run_id, sequence, limit=limit, max_bytes=READ_BYTES_AT_ONCE):
        fold_next(before.walk, recorded)
        sequence, digest = recorded.sequence, next_digest(digest, recorded, stored)
    return Position(before.walk, sequence, digest, before.size)
