"""Child runs: begun in the commit of the event that starts them, or that event is refused."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import select
from sqlalchemy.engine import Connection

from perdure.runlog.effects import child_run_id
from perdure.runlog.instances import instance
from perdure.runlog.plans import MAX_DEPTH, WalkPlan, read_plan
from perdure.v1 import execution_pb2
from perdure.v1.fact_events_pb2 import ChildStarted
from perdure.v1.run_events_pb2 import RunCreated
from perdure_control_plane.domain.admission import Batch, Refused
from perdure_control_plane.domain.child import child_session, first_events, is_planned_part
from perdure_control_plane.domain.errors import DataCorrupt, NotFound
from perdure_control_plane.domain.ids import PlaybookId, RunId
from perdure_control_plane.domain.origin import MESSAGE
from perdure_control_plane.domain.playbook import STARTABLE
from perdure_control_plane.storage.playbooks import Playbooks
from perdure_control_plane.storage.run_events import RunEvents
from perdure_control_plane.storage.run_log import RunLog
from perdure_control_plane.storage.sessions import Sessions
from perdure_control_plane.storage.tables import run_waits, runs


class Children:
    """Begins the child runs that batches start."""

    def __init__(
        self, connection: Connection, events: RunEvents, playbooks: Playbooks, sessions: Sessions, log: RunLog
    ) -> None:
        self._connection: Final = connection
        self._events = events
        self._playbooks = playbooks
        self._sessions = sessions
        self._log = log
        self._plans: dict[bytes, WalkPlan] = {}
        self._beginnings: dict[RunId, RunCreated] = {}

    def checked(self, batches: Sequence[Batch]) -> list[Batch]:
        """The batches, each up to the first child that may not begin, which is refused."""
        return [self._checked(batch) if batch.starts_children else batch for batch in batches]

    def _checked(self, batch: Batch) -> Batch:
        for index, incoming in enumerate(batch.events):
            if incoming.kind == "child_started":
                why = self._refusal(batch.run_id, incoming.message.child_started)
                if why:
                    reason = execution_pb2.REFUSAL_REASON_CHILD_REFUSED
                    refused = Refused(batch.first_ordinal + index, reason, why)
                    return replace(batch, events=batch.events[:index], malformed=refused)
        return batch

    def _refusal(self, parent_run_id: RunId, started: ChildStarted) -> str:
        if started.run_id != child_run_id(parent_run_id, instance(started.instance)):
            return "its id is not the one that a child has there"
        if started.part:
            return self._refusal_of_part(parent_run_id, started)
        if len(started.instance.path) > MAX_DEPTH:
            return f"it would be nested more than {MAX_DEPTH} levels deep"
        why = self._refusal_of_playbook(started)
        return "" if why and self._has_begun(started.run_id) else why

    def _refusal_of_playbook(self, started: ChildStarted) -> str:
        try:
            release = self._playbooks.release(PlaybookId(started.playbook_id), started.playbook_version)
        except NotFound as error:
            return str(error)
        if release.publication not in STARTABLE:
            return f"{release.name} is {release.publication}"
        return "" if release.plan_digest == started.plan_digest else f"{release.name} has another plan"

    def _has_begun(self, child_id: str) -> bool:
        """Whether a batch that comes again has begun it; what forbids it has come since."""
        begun = select(runs.c.run_id).where(runs.c.run_id == child_id)
        return self._connection.execute(begun).first() is not None

    def _refusal_of_part(self, parent_run_id: RunId, started: ChildStarted) -> str:
        """A part does what its parent's plan has for it. That may have been revoked since: what has begun goes on."""
        parent = self._beginning(parent_run_id)
        if parent is None or is_planned_part(self._plan(parent.plan_digest), parent_run_id, started):
            return ""  # of a run that does not exist the journal says that nobody holds it
        return f"the plan of runs/{parent_run_id} has no such part"

    def _beginning(self, run_id: RunId) -> RunCreated | None:
        """How a run began, which is read once for all its children; None where there is no such run."""
        if run_id not in self._beginnings:
            found = self._events.after(run_id, 0, limit=1, max_bytes=1)
            if not found:
                return None
            self._beginnings[run_id] = found[0].event.run_created
        return self._beginnings[run_id]

    def _plan(self, digest: bytes) -> WalkPlan:
        if digest not in self._plans:
            self._plans[digest] = read_plan(self._playbooks.plan(digest), digest)
        return self._plans[digest]

    def begin(self, batches: Sequence[Batch], at: int) -> None:
        """Begins each child whose start was stored by now and that has no log yet."""
        started = {
            incoming.message.child_started.run_id: (batch.run_id, incoming.message.child_started)
            for batch in batches
            if batch.starts_children
            for incoming in batch.events
            if incoming.kind == "child_started"
        }
        for child_id, sequence in self._unbegun(list(started)):
            self._begin(*started[child_id], sequence, at)

    def _unbegun(self, child_ids: list[str]) -> list[tuple[str, int]]:
        query = (
            select(run_waits.c.child_run_id, run_waits.c.opened_sequence)
            .outerjoin(runs, runs.c.run_id == run_waits.c.child_run_id)
            .where(run_waits.c.child_run_id.in_(child_ids), runs.c.run_id.is_(None))
            .order_by(run_waits.c.run_id, run_waits.c.opened_sequence)
        )
        return [(row[0], row[1]) for row in self._connection.execute(query)]

    def _begin(self, parent_run_id: RunId, started: ChildStarted, sequence: int, at: int) -> None:
        parent = self._beginning(parent_run_id)
        if parent is None:
            raise DataCorrupt(f"runs/{parent_run_id}", "its log has no beginning")
        plan, value = self._plan(started.plan_digest), self._given(parent_run_id, started, sequence)
        self._sessions.add(child_session(parent, parent_run_id, started.run_id, at))
        events = first_events(parent, parent_run_id, started, plan, value)
        self._log.create(RunId(started.run_id), events, MESSAGE)

    def _given(self, parent_run_id: RunId, started: ChildStarted, sequence: int) -> bytes:
        said = self._events.last_of_kind_before(parent_run_id, "rendered_arguments", sequence)
        value = said.event.rendered_arguments.json if said is not None else b""
        if hashlib.sha256(value).digest() != started.input_digest:
            raise DataCorrupt(
                f"runs/{parent_run_id}", f"what {started.run_id} is given does not stand before its start"
            )
        return value
