"""Appending to logs as the control plane: events, head and projections in one transaction."""

from collections.abc import Sequence

from perdure.runlog.head import RunHead, advance
from perdure.runlog.instances import instance
from perdure.runlog.kinds import KIND_NUMBERS
from perdure.v1.run_events_pb2 import RunCreated, RunEvent
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.errors import Conflict
from perdure_control_plane.domain.flow import Flow
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
from perdure_control_plane.storage.audit import audit_row
from perdure_control_plane.storage.heads import HeadCache, Mark
from perdure_control_plane.storage.log_rows import LogRows, Move
from perdure_control_plane.storage.payloads import INLINE_BYTES
from perdure_control_plane.storage.projections import Projections, Stored
from perdure_control_plane.storage.run_events import outside_row
from perdure_control_plane.storage.runs import Runs
from perdure_control_plane.storage.statements import DriverConnection, execute_changes


class RunLog:
    """Appends events that come from outside a run's walk. `changed` gathers the runs that were appended to."""

    def __init__(
        self,
        driver: DriverConnection,
        runs: Runs,
        rows: LogRows,
        projections: Projections,
        heads: HeadCache,
        now: int,
    ) -> None:
        self._driver = driver
        self._runs = runs
        self._rows = rows
        self._projections = projections
        self._heads = heads
        self._now = now
        self.changed: list[Run] = []

    def create(self, run_id: RunId, events: Sequence[RunEvent], origin: Outside) -> Run:
        """Begins a log; the first event is the run's creation."""
        identity, move = self._new(run_id, events, origin)
        self._rows.create(identity, move)
        execute_changes(self._driver, [move.changes])
        return self._note(Run(identity, move.after))

    def begin(self, flow: Flow, events: Sequence[RunEvent], origin: Outside, act: Act) -> Run:
        """Begins a flow with the log of its root run, as `create` does, and writes down who began it: all that a start
        does, so that it can be one statement."""
        identity, move = self._new(flow.root_run_id, events, origin)
        self._rows.begin(identity, move, flow, audit_row(act, self._now))
        execute_changes(self._driver, [move.changes])
        return self._note(Run(identity, move.after))

    def append(self, run: Run, events: Sequence[RunEvent], origin: Outside) -> Run:
        """Appends to a run's log and returns the run as it is now.

        Raises Conflict where the row is no longer as it was read, and IllegalEvent where an event cannot follow.
        """
        appended = self.append_each([(run, events)], origin)
        if not appended:
            raise Conflict(run.name)
        return appended[0]

    def append_each(self, events_of: Sequence[tuple[Run, Sequence[RunEvent]]], origin: Outside) -> list[Run]:
        """Appends to many runs' logs and returns the runs as they are now, without those whose rows are no longer as read.

        Raises IllegalEvent where an event cannot follow.
        """
        moves = []
        for run, events in events_of:
            move = self._fold(run.run_id, run.head.copy(), events, origin)
            move.changes[:0] = self._runs.following(run.run_id, run.head.state, move.after.state, self._now)
            moves.append(move)
        stored = self._rows.store(moves, alone=False)
        kept = [move for move in moves if move.run_id in stored]
        execute_changes(self._driver, [move.changes for move in kept])
        for move in kept:
            if move.after.lease_id is not None:
                self._heads.put(move.run_id, move.after.copy())
        identities = {run.run_id: run.identity for run, _ in events_of}
        return [self._note(Run(identities[move.run_id], move.after)) for move in kept]

    def _new(self, run_id: RunId, events: Sequence[RunEvent], origin: Outside) -> tuple[RunIdentity, Move]:
        identity = identity_of(run_id, events[0].run_created, self._now)
        return identity, self._fold(run_id, RunHead(), events, origin)

    def _fold(self, run_id: RunId, head: RunHead, events: Sequence[RunEvent], origin: Outside) -> Move:
        """Folds events onto a head: what is to be stored of that, without what follows the run's state."""
        move = Move(run_id, Mark.of(head), head, whole=True, events=[], changes=[])
        waits, facts = head.open_waits > 0, head.outside_sequence > 0
        child, children = head.child, head.children > 0
        for event in events:
            advance(head, event, self._now, by_holder=False)
            sequence, kind = head.last_sequence, event.WhichOneof("kind") or ""
            number, stored = KIND_NUMBERS[kind], event.SerializeToString()
            if len(stored) > INLINE_BYTES:
                stored = self._projections.payloads.apart(run_id, stored, self._now, move.changes)
            move.events.append(outside_row(run_id, sequence, self._now, origin, number, stored))
            projected = Stored(run_id, sequence, self._now, None, event, waits, facts, child, children)
            move.changes += self._projections.changes(kind, projected)
        return move

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
        labels=tuple(created.labels),
        starter=Principal(created.starter),
        created_at=at,
        concurrency_key=created.concurrency.key,
        concurrency_limit=created.concurrency.limit,
        part_instance=str(instance(created.part.instance)) if created.HasField("part") else "",
    )
