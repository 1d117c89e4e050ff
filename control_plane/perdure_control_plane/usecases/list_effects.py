"""Lists what a run has done to the world outside, and the positions of its log, with what would repeat from each."""

from dataclasses import dataclass

from perdure.runlog.checkpoints import LABELLED_KINDS, Checkpoint, checkpoint
from perdure.runlog.ledger import EffectLedger, LedgerEntry, Safety
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.usecases.fold_run import control_events
from perdure_control_plane.usecases.ports import Store, Transaction


@dataclass(frozen=True, slots=True)
class JudgedCheckpoint:
    """A position, and what stands against branching from it."""

    checkpoint: Checkpoint
    safety: Safety


async def list_effects(store: Store, run_id: RunId, after: int, limit: int) -> list[LedgerEntry]:
    """Effects that began after a sequence, at most `limit`. Raises NotFound, DataCorrupt."""
    entries = (await store.read(lambda tx: _ledger(tx, run_id))).entries.values()
    return [entry for entry in entries if entry.begun_sequence > after][:limit]


async def list_checkpoints(store: Store, run_id: RunId, after: int, limit: int) -> list[JudgedCheckpoint]:
    """Positions after a sequence that are worth naming, at most `limit`. Raises NotFound, DataCorrupt."""

    def body(tx: Transaction) -> list[JudgedCheckpoint]:
        ledger = _ledger(tx, run_id)
        found = tx.events.of_kinds(run_id, LABELLED_KINDS, after=after, limit=limit)
        return [JudgedCheckpoint(checkpoint(one), ledger.safety_at(one.sequence)) for one in found]

    return await store.read(body)


def _ledger(tx: Transaction, run_id: RunId) -> EffectLedger:
    tx.runs.get(run_id)
    ledger = EffectLedger()
    for recorded in control_events(tx, run_id):
        ledger.take(recorded)
    return ledger
