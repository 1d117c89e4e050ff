"""The runs that an executor holds on a stream, and the facts that are delivered to it."""

from dataclasses import dataclass

from perdure.v1 import execution_pb2
from perdure.v1.execution_pb2 import WorkResponse
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.api.work.background import Background
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.api.work.outbox import Outbox
from perdure_control_plane.domain.ids import LeaseId, RunId


@dataclass(slots=True)
class Held:
    """A run that the executor was handed on this stream or says it holds. `delivered` is the last fact it was sent."""

    lease_id: LeaseId
    delivered: int


class Deliveries:
    """Sends the holder of a run each fact that comes to the run's log, in order."""

    def __init__(self, desk: Desk, outbox: Outbox, background: Background) -> None:
        self._desk = desk
        self._outbox = outbox
        self._background = background
        self._held: dict[RunId, Held] = {}
        self._waiting: dict[RunId, None] = {}

    @property
    def holds(self) -> bool:
        """Whether any run is held on this stream."""
        return bool(self._held)

    def hold(self, run_id: RunId, lease_id: LeaseId, delivered: int) -> None:
        """The executor holds a run, and has every fact up to `delivered`."""
        self._held[run_id] = Held(lease_id, delivered)
        self._desk.changes.hold(run_id, self._facts_came)

    def confirm(self, run_id: RunId, lease_id: LeaseId, last_fact: int) -> None:
        """The executor says that it holds a run, whose last fact has this number."""
        if run_id not in self._held:
            self.hold(run_id, lease_id, 0)
        if last_fact > self._held[run_id].delivered:
            self._facts_came(run_id)

    def let_go(self, run_id: RunId, lease_id: LeaseId) -> None:
        """The executor does not hold a run any more, unless it is under a newer lease."""
        held = self._held.get(run_id)
        if held is not None and held.lease_id == lease_id:
            del self._held[run_id]
            self._desk.changes.let_go(run_id, self._facts_came)

    def keep_only(self, run_ids: set[RunId]) -> None:
        """The executor holds no runs but these."""
        for run_id in [run_id for run_id in self._held if run_id not in run_ids]:
            self.let_go(run_id, self._held[run_id].lease_id)

    def end(self) -> None:
        """The stream has ended: nothing is delivered on it."""
        for run_id in self._held:
            self._desk.changes.let_go(run_id, self._facts_came)

    async def facts(self, run_id: RunId, after: int) -> list[RecordedEvent]:
        """A run's facts after a sequence, in order."""
        return await self._desk.store.read(lambda tx: tx.events.facts_after(run_id, after))

    def _facts_came(self, run_id: str) -> None:
        first = not self._waiting
        self._waiting[RunId(run_id)] = None
        if first:
            self._background.spawn_owed(self._deliver())

    async def _deliver(self) -> None:
        while self._waiting:
            run_id = next(iter(self._waiting))
            del self._waiting[run_id]
            held = self._held.get(run_id)
            if held is None:
                continue
            facts = await self.facts(run_id, held.delivered)
            if facts:
                held.delivered = facts[-1].sequence
                delivery = execution_pb2.Delivery(run_id=run_id, lease_id=held.lease_id, facts=facts)
                self._outbox.say(WorkResponse(deliveries=[delivery]))
