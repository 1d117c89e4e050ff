"""The runs that this process holds, from stream to stream, and what is to be said of them on the present one."""

import asyncio
import contextlib
from typing import Final

import structlog

from perdure.runlog.kinds import FACT_KINDS
from perdure.runlog.plans import WalkPlan, read_plan
from perdure.v1 import execution_pb2
from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure.v1.run_snapshots_pb2 import WalkSnapshot
from perdure_executor.arrivals import Arrival, Arrivals
from perdure_executor.event_stream import MAX_BATCH_BYTES, EventStream
from perdure_executor.late_reports import OwedReports
from perdure_executor.lease_keeper import LeaseKeeper
from perdure_executor.node_context import Equipment
from perdure_executor.room import Room
from perdure_executor.walker import Walker

log = structlog.get_logger(__name__)

MAX_MESSAGE_EVENTS: Final = 250


class HeldRuns:
    """Begins a walk for each run that is assigned, and passes on to it what the server says of the run.

    What is to be said is gathered and becomes one message at a time; `wake` is set whenever there is something.
    """

    def __init__(self, slots: int, lease: LeaseKeeper) -> None:
        self.wake: Final = asyncio.Event()
        self._room = Room(slots)
        self._lease = lease
        self._equipment: Equipment | None = None
        self._walkers: dict[tuple[str, str], Walker] = {}
        self._plans: dict[bytes, WalkPlan] = {}
        self._dirty: dict[EventStream, None] = {}
        self._outgoing = WorkRequest()
        self._arrivals = Arrivals()
        self._last_assignment = 0
        self._reports = OwedReports()
        self._draining = False
        self._silent = False
        self._settled_up = asyncio.Event()

    @property
    def count(self) -> int:
        """How many runs are held."""
        return len(self._walkers)

    @property
    def left(self) -> bool:
        """Whether this process takes no more runs, holds none, and owes no report."""
        return self._draining and not self._owes

    @property
    def _owes(self) -> bool:
        return bool(self._walkers or self._reports)

    def begin_stream(self, equipment: Equipment) -> None:
        """A new stream is open: what no server has confirmed is said again on it."""
        self._equipment = equipment
        self._last_assignment = 0
        self._arrivals.clear()
        # Acknowledgements and heartbeats belong to the stream that is gone; that a store went back belongs to none.
        self._outgoing = WorkRequest(went_back=self._outgoing.went_back)
        self._reports.put(self._outgoing)
        for walker in self._walkers.values():
            walker.equip(equipment)
            walker.stream.reconnected()
        self._say_credits()

    def beat(self) -> None:
        """Says a heartbeat, with what is held."""
        runs = [*self._walkers, *self._arrivals.runs]
        held = [execution_pb2.HeldRun(run_id=run_id, lease_id=lease_id) for run_id, lease_id in runs]
        beat = execution_pb2.Heartbeat(number=self._lease.beat(), last_assignment=self._last_assignment, held=held)
        self._outgoing.heartbeat.CopyFrom(beat)
        self._reports.put(self._outgoing)
        self.wake.set()

    def drain(self) -> None:
        """Takes no more runs, and gives each back when nothing of it runs."""
        self._draining = True
        self._say_credits()
        for walker in list(self._walkers.values()):
            walker.drain()

    async def given_up(self, seconds: float) -> bool:
        """Whether no run is held and no report owed any more; waits so long for it, in seconds."""
        if self._owes:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._settled_up.wait()
        return not self._owes

    def stop_work(self) -> None:
        """Ends whatever runs."""
        for walker in list(self._walkers.values()):
            walker.stop_runs()

    def fence(self) -> None:
        """Lets go of every run, and of what is still to be reported, without a word to the server."""
        self._silent = True
        self._reports.forget()
        for walker in list(self._walkers.values()):
            walker.fence()
        self._check_settled_up()

    def next_request(self) -> WorkRequest | None:
        """The next message; None where there is nothing to say, or nothing may be said."""
        request, self._outgoing = self._outgoing, WorkRequest()
        events = size = 0
        while self._dirty and events < MAX_MESSAGE_EVENTS and size < MAX_BATCH_BYTES and self._lease.may_send():
            stream = next(iter(self._dirty))
            del self._dirty[stream]
            added, added_size = stream.put_batch(request)
            events, size = events + added, size + added_size
            if stream.has_unsent():
                # What a stream still has to say goes to the end of the line.
                self._dirty[stream] = None
                break
        return request if request.ByteSize() else None

    def take_in(self, response: WorkResponse) -> None:
        """Takes in what the server says."""
        for answer in response.answers:
            walker = self._walkers.get((answer.run_id, answer.lease_id))
            if walker is not None and (walker.stream.is_for(answer) or answer.HasField("rejected")):
                self._note_if_store_went_back(walker, answer)
                walker.answered(answer)
            elif answer.HasField("rejected") and self._arrivals.drop(answer.run_id, answer.lease_id):
                self._say_credits()
        for assignment in response.assignments:
            self._assigned(assignment)
        for history in response.histories:
            self._begin(self._arrivals.go_on(history))
        for delivery in response.deliveries:
            walker = self._walkers.get((delivery.run_id, delivery.lease_id))
            if walker is not None:
                walker.facts_came(list(delivery.facts))
            else:
                self._arrivals.deliver(delivery)
        if self._room.changed:
            self._say_credits()
        if response.late_report_acks:
            self._reports.taken(response.late_report_acks)
            self._check_settled_up()
            self.wake.set()
        if response.HasField("heartbeat_ack"):
            self._lease.acknowledged(response.heartbeat_ack.number)
            self.wake.set()

    def _note_if_store_went_back(self, walker: Walker, answer: execution_pb2.Answer) -> None:
        if answer.HasField("resend") and answer.resend.from_ordinal <= walker.stream.acknowledged:
            lost = execution_pb2.StoreWentBack(
                run_id=answer.run_id, lease_id=answer.lease_id, acknowledged_ordinal=walker.stream.acknowledged
            )
            self._outgoing.went_back.append(lost)
            self.wake.set()

    def _assigned(self, assignment: execution_pb2.Assignment) -> None:
        self._last_assignment = assignment.number
        self._outgoing.assignment_acks.append(execution_pb2.AssignmentAck(number=assignment.number))
        self.wake.set()
        try:
            if assignment.plan_digest not in self._plans:
                self._plans[assignment.plan_digest] = read_plan(assignment.plan, assignment.plan_digest)
        except ValueError as error:
            # It is not held, as the next heartbeat says; a run that nobody can hold is held for a person in the end.
            log.error("assignment.unusable", run=assignment.run_id, error=str(error))
            self._say_credits()
            return
        self._begin(self._arrivals.add(assignment))

    def _begin(self, arrival: Arrival | None) -> None:
        """Begins to walk a run whose log is here whole."""
        if arrival is None:
            return
        assert self._equipment is not None
        assignment, history, snapshot = arrival.assignment, arrival.events, bytes(arrival.snapshot)
        seen = max(
            (recorded.sequence for recorded in history if recorded.event.WhichOneof("kind") in FACT_KINDS),
            default=WalkSnapshot.FromString(snapshot).seen,
        )
        stream = EventStream(assignment.run_id, assignment.lease_id, seen, self._has_events, self._room.backlog)
        walker = Walker(self._plans[assignment.plan_digest], stream, self._equipment, self._lease, self._over)
        self._walkers[assignment.run_id, assignment.lease_id] = walker
        self._settled_up.clear()
        if self._draining:
            walker.drain()
        walker.begin(snapshot, history)
        if arrival.facts:
            walker.facts_came(arrival.facts)

    def _has_events(self, stream: EventStream) -> None:
        if stream not in self._dirty:
            if (stream.run_id, stream.lease_id) not in self._walkers:
                return
            self._dirty[stream] = None
            self.wake.set()
        if self._room.changed_with(stream):
            self._say_credits()

    def _over(self, walker: Walker) -> None:
        self._walkers.pop((walker.stream.run_id, walker.stream.lease_id), None)
        self._dirty.pop(walker.stream, None)
        if not self._silent:
            self._reports.add(walker.late_reports())
            self._reports.put(self._outgoing)
        if self._room.given_up(walker.stream):
            self._say_credits()
        self.wake.set()  # there may be a report to say, or nothing more to stay for
        self._check_settled_up()

    def _check_settled_up(self) -> None:
        if not self._owes:
            self._settled_up.set()

    def _say_credits(self) -> None:
        free = 0 if self._draining else self._room.free(len(self._walkers) + len(self._arrivals))
        credits = self._outgoing.credits
        credits.free, credits.last_assignment = free, self._last_assignment
        self.wake.set()
