"""Reads a run's whole log and folds it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from perdure.runlog import FOLD_VERSION
from perdure.runlog.folding import fold_event
from perdure.runlog.kinds import FIRST_DATA_KIND, KIND_NUMBERS
from perdure.runlog.plans import WalkPlan, read_plan
from perdure.runlog.walk import Walk
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.errors import DataCorrupt, VersionUnsupported
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Store, Transaction

READ_AT_ONCE: Final = 1000
READ_BYTES_AT_ONCE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FoldedRun:
    """A run, and the state of its walk at its last event."""

    run: Run
    walk: Walk


async def fold_run(store: Store, run_id: RunId) -> FoldedRun:
    """Folds a run's log as it is now; see `fold`. Raises NotFound, DataCorrupt, VersionUnsupported."""
    return await store.read(lambda tx: fold(tx, run_id))


def fold(tx: Transaction, run_id: RunId) -> FoldedRun:
    """Folds a run's log inside a transaction, without what it was given and has produced: however large that is, it can
    be said where the run stands. Raises NotFound, DataCorrupt, VersionUnsupported."""
    run = tx.runs.get(run_id)
    walk = new_walk(tx, run)
    for recorded in control_events(tx, run_id):
        fold_event(walk, recorded.event, recorded.sequence)
    return FoldedRun(run, walk)


def new_walk(tx: Transaction, run: Run) -> Walk:
    """A run's walk before its first event. Raises DataCorrupt, VersionUnsupported."""
    if run.identity.fold_version > FOLD_VERSION:
        raise VersionUnsupported("fold", f"1 to {FOLD_VERSION}")
    return Walk(plan_of(tx, run))


def plan_of(tx: Transaction, run: Run) -> WalkPlan:
    """The plan that a run walks. Raises DataCorrupt where what is stored is not what the run was started with."""
    try:
        return read_plan(tx.playbooks.plan(run.identity.plan_digest), run.identity.plan_digest)
    except ValueError as error:
        raise DataCorrupt(run.name, str(error)) from error


CONTROL_KINDS: Final = tuple(kind for kind, number in KIND_NUMBERS.items() if number < FIRST_DATA_KIND)
"""Kinds without payloads: what stands where follows from them alone."""


def control_events(tx: Transaction, run_id: RunId) -> Iterator[RecordedEvent]:
    """Every event without a payload, read piece by piece. Raises DataCorrupt."""
    after = 0
    while piece := tx.events.of_kinds(run_id, CONTROL_KINDS, after=after, limit=READ_AT_ONCE):
        yield from piece
        after = piece[-1].sequence


def whole_log(tx: Transaction, run_id: RunId, after: int = 0) -> list[RecordedEvent]:
    """Every event after a sequence."""
    return list(log_events(tx, run_id, after))


def log_events(tx: Transaction, run_id: RunId, after: int = 0) -> Iterator[RecordedEvent]:
    """Every event after a sequence, read piece by piece. Raises DataCorrupt."""
    while piece := tx.events.after(run_id, after, limit=READ_AT_ONCE, max_bytes=READ_BYTES_AT_ONCE):
        yield from piece
        after = piece[-1].sequence
