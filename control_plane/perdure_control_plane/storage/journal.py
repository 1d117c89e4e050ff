"""The journal: holders' batches, appended for many runs in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from perdure.runlog.head import RunHead
from perdure.runlog.states import RunState
from perdure_control_plane.domain.admission import Ack, Answer, Batch, Incoming, Rejected, admit
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.heads import HeadCache, Mark
from perdure_control_plane.storage.projections import PROJECTED, Projections, Stored
from perdure_control_plane.storage.run_events import RunEventStatements, holder_row
from perdure_control_plane.storage.runs import Runs
from perdure_control_plane.storage.statements import DriverConnection, Row


class GuardFailed(Exception):
    """A row that was read in this transaction is not as it was read; only a program error can bring that about."""


@dataclass(slots=True)
class Appended:
    """What a group of batches came to."""

    answers: list[Answer]
    """One for each batch, in order."""
    runs: list[RunId] = field(default_factory=list)
    """Runs that got events."""
    queued: bool = False
    """Whether a run became ready for an executor."""


_MOVING: Final = frozenset({
    "lease_returned", "run_paused", "run_ended", "node_in_doubt", "wait_opened", "wait_closed", "fact_taken_up",
})  # fmt: skip
"""Kinds after which more of the run row has moved than ordinals and sequences."""


class Journal:
    """Appends batches. One run's batches are merged: one guarded update, one insertion of rows."""

    def __init__(
        self,
        driver: DriverConnection,
        runs: Runs,
        events: RunEventStatements,
        projections: Projections,
        heads: HeadCache,
    ) -> None:
        self._driver = driver
        self._runs = runs
        self._events = events
        self._projections = projections
        self._heads = heads

    def append(self, batches: Sequence[Batch], now: int) -> Appended:
        """Stores what may be stored of each batch, in order, and says what became of it.

        Raises whatever the driver raises, after which nothing of the group counts.
        """
        appended = Appended(answers=[_PENDING] * len(batches))
        by_run: dict[RunId, list[int]] = {}
        for index, batch in enumerate(batches):
            by_run.setdefault(batch.run_id, []).append(index)
        rows: list[Row] = []
        for run_id, indexes in by_run.items():
            rows += self._append_to_run(run_id, batches, indexes, now, appended)
        if rows:
            self._events.insert.execute_rows(self._driver, rows)
        return appended

    def _append_to_run(
        self, run_id: RunId, batches: Sequence[Batch], indexes: list[int], now: int, appended: Appended
    ) -> list[Row]:
        head = self._heads.take(run_id)
        if head is not None:
            rows = self._append_to_head(run_id, head, batches, indexes, now, appended)
            if rows is not None:
                return rows
        # The head was not known, or somebody else has moved the row since: the row itself says where the run is.
        head = self._runs.head(run_id)
        if head is None:
            for index in indexes:
                appended.answers[index] = Rejected()
            return []
        rows = self._append_to_head(run_id, head, batches, indexes, now, appended)
        if rows is None:
            raise GuardFailed(run_id)
        return rows

    def _append_to_head(
        self,
        run_id: RunId,
        head: RunHead,
        batches: Sequence[Batch],
        indexes: list[int],
        now: int,
        appended: Appended,
    ) -> list[Row] | None:
        """Rows to insert, or None where the run's row is not at this head; nothing is stored then."""
        mark = Mark.of(head)
        admitted: list[Incoming] = []
        for index in indexes:
            appended.answers[index], fresh = admit(head, batches[index], now)
            admitted += fresh
        if not admitted:
            # Nothing to store, so no guard has looked at the row: only a row that was just read may be believed.
            return [] if self._runs.is_at(run_id, mark) else None
        moved = any(incoming.kind in _MOVING for incoming in admitted)
        saved = self._runs.save(run_id, mark, head, now) if moved else self._runs.save_appended(run_id, mark, head)
        if not saved:
            return None
        if head.lease_id is not None:
            self._heads.put(run_id, head)
        appended.runs.append(run_id)
        appended.queued = appended.queued or (moved and head.state is RunState.QUEUED)
        return self._rows(run_id, mark, admitted, now)

    def _rows(self, run_id: RunId, mark: Mark, admitted: list[Incoming], now: int) -> list[Row]:
        rows: list[Row] = []
        sequence, ordinal, lease_id = mark.last_sequence, mark.next_ordinal, mark.lease_id or ""
        waits, facts = mark.open_waits > 0, mark.outside_sequence > 0
        for incoming in admitted:
            sequence += 1
            rows.append(
                holder_row(run_id, sequence, now, lease_id, mark.epoch, ordinal, incoming.number, incoming.stored)
            )
            ordinal += 1
            if incoming.kind in PROJECTED:
                stored = Stored(run_id, sequence, now, lease_id, incoming.message, waits, facts)
                self._projections.apply(incoming.kind, stored)
                waits = waits or incoming.kind == "wait_opened"
        return rows


_PENDING: Final = Ack(0, 0)
