"""Reads a run's whole log and folds it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from perdure.runlog import FOLD_VERSION
from perdure.runlog.digests import NO_EVENTS
from perdure.runlog.folding import fold_event
from perdure.runlog.kinds import CONTROL_KINDS
from perdure.runlog.plans import WalkPlan, read_plan
from perdure.runlog.snapshots import FORM, SnapshotUnreadable, restore_walk
from perdure.runlog.walk import Walk
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.errors import DataCorrupt, RunStateForbids, VersionUnsupported
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run import Run
from perdure_control_plane.domain.snapshot import RunSnapshot
from perdure_control_plane.usecases.ports import Store, Transaction

FEW: Final = 100
"""Events that are folded sooner than a snapshot of them is looked for."""

READ_AT_ONCE: Final = 1000
READ_BYTES_AT_ONCE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FoldedRun:
    """A run, and the state of its walk at its last event."""

    run: Run
    walk: Walk


@dataclass(frozen=True, slots=True)
class Position:
    """A walk at a sequence, the digest of the log up to there, and how many bytes the snapshot has that it came from."""

    walk: Walk
    sequence: int = 0
    digest: bytes = NO_EVENTS
    size: int = 0


async def fold_run(store: Store, run_id: RunId) -> FoldedRun:
    """Folds a run's log as it is now; see `fold`. Raises NotFound, RunStateForbids, DataCorrupt, VersionUnsupported."""
    return await store.read(lambda tx: fold(tx, run_id))


def fold(tx: Transaction, run_id: RunId) -> FoldedRun:
    """Folds a run's log inside a transaction, without what it was given and has produced: however large that is, it can
    be said where the run stands. Raises NotFound, RunStateForbids, DataCorrupt, VersionUnsupported."""
    run = tx.runs.get(run_id)
    position = position_of(tx, run, contents=False)
    for recorded in control_events(tx, run_id, position.sequence):
        fold_next(position.walk, recorded)
    return FoldedRun(run, position.walk)


def fold_next(walk: Walk, recorded: RecordedEvent) -> None:
    """Folds the next event of a run. Raises RunStateForbids where it is none that the run's plan allows there: what holders
    report is held against their lease when it is stored, and against the plan by whoever goes on with it."""
    try:
        fold_event(walk, recorded.event, recorded.sequence)
    except (LookupError, ValueError, TypeError, AttributeError, StopIteration) as error:
        state = f"one that nobody can go on with, for its plan allows no such event as {recorded.run_id}@{recorded.sequence}"
        way_out = "it can only be cancelled; look at the executor that reported this"
        raise RunStateForbids(f"runs/{recorded.run_id}", state, way_out) from error


def position_of(tx: Transaction, run: Run, *, contents: bool = True) -> Position:
    """The latest position of a run whose walk need not be folded: that of its snapshot, or the beginning of its log.

    Without `contents` the walk has nothing of what people and programs wrote. Raises DataCorrupt, VersionUnsupported.
    """
    walk = new_walk(tx, run)
    found = readable_snapshot(tx, run, contents=contents)
    if found is None:
        return Position(walk)
    try:
        restored, sequence = restore_walk(walk.plan, found.walk.state + found.walk.contents)
    except SnapshotUnreadable:
        return Position(walk)  # a cache that was lost costs time and nothing else; a check of the store says what it is
    size = len(found.walk.state) + len(found.walk.contents)
    return Position(restored, sequence, found.head_digest, size)


def readable_snapshot(tx: Transaction, run: Run, *, contents: bool = True) -> RunSnapshot | None:
    """The snapshot of a run, where it has one and this version reads its form."""
    if run.head.last_sequence <= FEW:
        return None
    found = tx.snapshots.find(run.run_id, contents=contents)
    if found is None or (found.walk.form, found.fold_version) != (FORM, run.identity.fold_version):
        return None
    return found


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


def control_events(tx: Transaction, run_id: RunId, after: int = 0) -> Iterator[RecordedEvent]:
    """Every event without a payload after a sequence, read piece by piece. Raises DataCorrupt."""
    while piece := tx.events.of_kinds(run_id, CONTROL_KINDS, after=after, limit=READ_AT_ONCE):
        yield from piece
        after = piece[-1].sequence


def whole_log(tx: Transaction, run_id: RunId, after: int = 0) -> list[RecordedEvent]:
    """Every event after a sequence."""
    return list(log_events(tx, run_id, after))


def log_events(tx: Transaction, run_id: RunId, after: int = 0) -> Iterator[RecordedEvent]:
    """Every event after a sequence, read piece by piece. Raises DataCorrupt."""
    return (recorded for recorded, _ in stored_events(tx, run_id, after))


def stored_events(tx: Transaction, run_id: RunId, after: int = 0) -> Iterator[tuple[RecordedEvent, bytes]]:
    """As `log_events`, each with its bytes as they are stored."""
    while piece := tx.events.stored_after(run_id, after, limit=READ_AT_ONCE, max_bytes=READ_BYTES_AT_ONCE):
        yield from piece
        after = piece[-1][0].sequence
