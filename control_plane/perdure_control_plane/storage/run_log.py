"""Appending to logs as the control plane: events, head and projections in one transaction."""

from collections.abc import Sequence

from perdure.runlog.head import RunHead, advance
from perdure.runlog.kinds import KIND_NUMBERS
from perdure.v1.run_events_pb2 import RunCreated, RunEvent
from perdure_control_plane.domain.errors import Conflict
from perdure_control_plane.domain.ids import (
    AgentId,
    FlowId,
    PlaybookId,
    Principal,
    RunId,
    SessionId,
)
from perdure_control_plane.domain.origin import Outside
from perdure_control_plane.domain.run import Run, RunIdentity
from perdure_control_plane.storage.heads import HeadCache, Mark
from perdure_control_plane.storage.projections import PROJECTED, Projections, Stored
from perdure_control_plane.storage.run_events import (
    RunEventStatements,
    outside_row,
)
from perdure_control_plane.storage.runs import Runs
from perdure_control_plane.storage.statements import DriverConnection, Row


class RunLog:
    """Appends events that come from outside a run's walk. `changed` gathers the runs that were appended to."""

    def __init__(
        self,
        driver: DriverConnection,
        runs: Runs,
        events: RunEventStatements,
        projections: Projections,
        heads: HeadCache,
        now: int,
    ) -> None:
        self._driver = driver
        self._runs = runs
        self._events = events
        self._projections = projections
        self._heads = heads
        self._now = now
        self.changed: list[Run] = []

    def create(self, run_id: RunId, events: Sequence[RunEvent], origin: Outside) -> Run:
        """Begins a log; the first event is the run's creation."""
        identity = identity_of(run_id, events[0].run_created, self._now)
        head = RunHead()
        rows = self._fold(run_id, head, events, origin)
        self._runs.insert(identity, head, self._now)
        self._store(run_id, events, rows, RunHead())
        return self._note(Run(identity, head))

    def append(self, run: Run, events: Sequence[RunEvent], origin: Outside) -> Run:
        """Appends to a run's log and returns the run as it is now.

        Raises Conflict where the row is no longer as it was read, and IllegalEvent where an event cannot follow.
        """
        head = run.head.copy()
        rows = self._fold(run.run_id, head, events, origin)
        if not self._runs.save(run.run_id, Mark.of(run.head), head, self._now):
            raise Conflict(run.name)
        if head.lease_id is not None:
            self._heads.put(run.run_id, head.copy())
        self._store(run.run_id, events, rows, run.head)
        return self._note(Run(run.identity, head))

    def _fold(self, run_id: RunId, head: RunHead, events: Sequence[RunEvent], origin: Outside) -> list[Row]:
        rows = []
        for event in events:
            advance(head, event, self._now, by_holder=False)
            kind = KIND_NUMBERS[event.WhichOneof("kind") or ""]
            rows.append(outside_row(run_id, head.last_sequence, self._now, origin, kind, event.SerializeToString()))
        return rows

    def _store(self, run_id: RunId, events: Sequence[RunEvent], rows: Sequence[Row], before: RunHead) -> None:
        self._events.insert.execute_rows(self._driver, rows)
        waits, facts = before.open_waits > 0, before.outside_sequence > 0
        for event, row in zip(events, rows, strict=True):
            kind = event.WhichOneof("kind") or ""
            if kind in PROJECTED:
                self._projections.apply(kind, Stored(run_id, row[1], self._now, None, event, waits, facts))

    def _note(self, run: Run) -> Run:
        self.changed.append(run)
        return run


def identity_of(run_id: RunId, created: RunCreated, at: int) -> RunIdentity:
    """What of a run never changes, from its first event."""
    return RunIdentity(
        run_id=run_id,
        flow_id=FlowId(created.flow_id),
        session_id=SessionId(created.session_id),
        agent_id=AgentId(created.agent_id),
        parent_run_id=RunId(created.lineage.parent_run_id) if created.lineage.parent_run_id else None,
        lineage_id=created.lineage.lineage_id,
        playbook_id=PlaybookId(created.playbook_id),
        playbook_version=created.playbook_version,
        plan_digest=created.plan_digest,
        fold_version=created.fold_version,
        term=created.term,
        queue=created.queue,
        priority=created.priority,
        providers=tuple(created.providers),
        starter=Principal(created.starter),
        created_at=at,
    )
