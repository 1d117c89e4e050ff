"""The journal: holders' batches, appended for many runs in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from perdure.runlog.head import RunHead
from perdure_control_plane.domain.admission import Answer, Batch, Incoming, Rejected, admit
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.heads import HeadCache, Mark
from perdure_control_plane.storage.log_rows import LogRows, Move
from perdure_control_plane.storage.payloads import INLINE_BYTES
from perdure_control_plane.storage.projections import Projections, Stored, is_projected
from perdure_control_plane.storage.run_events import holder_row
from perdure_control_plane.storage.runs import Runs
from perdure_control_plane.storage.statements import DriverConnection, execute_changes


class GuardFailed(Exception):
    """A row that was read in this transaction is not as it was read; only a program error can bring that about."""


@dataclass(slots=True)
class Appended:
    """What a group of batches came to."""

    answers: list[Answer | None]
    """One for each batch, in order. None where another transaction is writing to the run: it is to be tried again."""
    runs: list[RunId] = field(default_factory=list)
    """Runs that got events, now or in a commit of which nobody knew whether it was done."""
    queued: bool = False
    """Whether a run became ready for an executor, or gave back a place that others want."""
    grown: list[RunId] = field(default_factory=list)
    """Runs whose log has come past a multiple of GROWTH."""


GROWTH: Final = 100
"""Events by which a log grows before it is told that it has."""


_MOVING: Final = frozenset({
    "lease_returned", "run_paused", "run_ended", "node_in_doubt", "wait_opened", "wait_closed", "fact_taken_up",
    "child_started",
})  # fmt: skip
"""Kinds after which more of the run row has moved than ordinals and sequences."""


class Journal:
    """Appends batches. One run's batches are merged, and all runs' moves are stored together."""

    def __init__(
        self,
        driver: DriverConnection,
        runs: Runs,
        rows: LogRows,
        projections: Projections,
        heads: HeadCache,
    ) -> None:
        self._driver = driver
        self._runs = runs
        self._rows = rows
        self._projections = projections
        self._heads = heads

    def append(self, batches: Sequence[Batch], now: int) -> Appended:
        """Stores what may be stored of each batch, in order, and says what became of it.

        Raises whatever the driver raises, after which nothing of the group counts.
        """
        group = _Group(batches, now)
        moves, unread = self._fold_known(group)
        stored = set(self._rows.store(moves, alone=not unread)) if moves else set()
        # Those heads were not known, or somebody else has moved the rows since: the rows themselves say where they are.
        unread += [move.run_id for move in moves if move.run_id not in stored]
        kept = [move for move in moves if move.run_id in stored]
        if unread:
            kept += self._append_to_read(group, unread)
        execute_changes(self._driver, [move.changes for move in kept if move.changes])
        for move in kept:
            if move.after.lease_id is not None:
                self._heads.put(move.run_id, move.after)
        runs = dict.fromkeys([*(move.run_id for move in kept), *unread])
        queued = any(move.whole and move.after.calls_executors for move in kept)
        grown = [m.run_id for m in kept if m.before.last_sequence // GROWTH != m.after.last_sequence // GROWTH]
        return Appended(group.answers, list(runs), queued, grown)

    def _fold_known(self, group: "_Group") -> tuple[list[Move], list[RunId]]:
        """Moves of the runs whose heads are known, and the runs whose rows must be read."""
        moves: list[Move] = []
        unread: list[RunId] = []
        for run_id in group.runs:
            head = self._heads.take(run_id)
            move = None if head is None else self._fold(group, run_id, head)
            if move is None:
                # Nothing to store, so no guard looks at the row: only a row that was just read may be believed.
                unread.append(run_id)
            else:
                moves.append(move)
        return moves, unread

    def _append_to_read(self, group: "_Group", run_ids: Sequence[RunId]) -> list[Move]:
        heads = self._rows.heads(run_ids)
        moves: list[Move] = []
        for run_id in run_ids:
            if run_id not in heads:
                group.answer_all(run_id, Rejected())
                continue
            head = heads[run_id]
            if head is None:
                group.answer_all(run_id, None)
                continue
            move = self._fold(group, run_id, head)
            if move is not None:
                moves.append(move)
        if moves:
            stored = self._rows.store(moves, alone=False)
            for move in moves:
                if move.run_id not in stored:
                    raise GuardFailed(move.run_id)
        return moves

    def _fold(self, group: "_Group", run_id: RunId, head: RunHead) -> Move | None:
        """Folds what may be stored of a run's batches onto its head, and answers them. None where the row stays as it is."""
        before = Mark.of(head)
        admitted: list[Incoming] = []
        for index in group.runs[run_id]:
            group.answers[index], fresh = admit(head, group.batches[index], group.now)
            admitted += fresh
        if not admitted and head.tail == before.tail:
            return None
        whole = any(incoming.kind in _MOVING for incoming in admitted)
        move = Move(run_id, before, head, whole, [], [])
        self._write(move, admitted, group.now)
        if head.state is not before.state:
            move.changes[:0] = self._runs.following(run_id, before.state, head.state, group.now)
        return move

    def _write(self, move: Move, admitted: Sequence[Incoming], now: int) -> None:
        run_id, before = move.run_id, move.before
        sequence, ordinal, lease_id = before.last_sequence, before.next_ordinal, before.lease_id or ""
        waits, facts = before.open_waits > 0, before.outside_sequence > 0
        child, children = before.child, before.children > 0
        for incoming in admitted:
            sequence += 1
            event = incoming.stored
            if len(event) > INLINE_BYTES:
                event = self._projections.payloads.apart(run_id, event, now, move.changes)
            move.events.append(
                holder_row(run_id, sequence, now, lease_id, before.epoch, ordinal, incoming.number, event)
            )
            ordinal += 1
            if is_projected(incoming.kind, incoming.message):
                stored = Stored(run_id, sequence, now, lease_id, incoming.message, waits, facts, child, children)
                move.changes += self._projections.changes(incoming.kind, stored)
                waits = waits or incoming.kind in ("wait_opened", "child_started")
                children = children or incoming.kind == "child_started"


class _Group:
    """Batches that share a commit: which are whose, and what became of each."""

    def __init__(self, batches: Sequence[Batch], now: int) -> None:
        self.batches: Final = batches
        self.now: Final = now
        self.answers: Final[list[Answer | None]] = [None] * len(batches)
        self.runs: Final[dict[RunId, list[int]]] = {}
        for index, batch in enumerate(batches):
            self.runs.setdefault(batch.run_id, []).append(index)

    def answer_all(self, run_id: RunId, answer: Answer | None) -> None:
        """Gives all batches of a run the same answer."""
        for index in self.runs[run_id]:
            self.answers[index] = answer
