"""An executor: connects, takes runs, walks them, says what happens, and takes them up again after a broken stream."""

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
import structlog

from perdure.runlog import FOLD_VERSION
from perdure.runlog.plans import WalkPlan, read_plan
from perdure.v1 import execution_pb2, execution_pb2_grpc
from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_executor import clock
from perdure_executor.event_stream import MAX_BATCH_BYTES, EventStream
from perdure_executor.lease_keeper import LeaseKeeper, LeaseTerms
from perdure_executor.node_context import Equipment
from perdure_executor.nodes import KINDS
from perdure_executor.walker import Walker

log = structlog.get_logger(__name__)

PROTOCOL: Final = 1
RECONNECT_SECONDS: Final = (0.05, 5.0)
"""Pause before a broken stream is opened again, at first and at most."""

GOODBYE_SECONDS: Final = 5.0
MAX_MESSAGE_EVENTS: Final = 250
THREADS_LEFT_EXIT_CODE: Final = 70
"""Exit code of an executor that ends itself because a function runs on past its work end and cannot be ended."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Who an executor is and what it takes."""

    executor_id: str
    incarnation: str
    queues: tuple[str, ...]
    providers: tuple[str, ...]
    slots: int
    version: str
    drain_seconds: float
    """How long running work may go on after a request to stop, before it is ended."""


class Worker:
    """One executor process."""

    def __init__(self, channel: grpc.aio.Channel, profile: Profile, equip: Callable[[int], Equipment]) -> None:
        """`equip` makes the equipment for the server's payload limit, in bytes."""
        self._stub = execution_pb2_grpc.ExecutionServiceStub(channel)
        self._profile = profile
        self._equip = equip
        self._equipment: Equipment | None = None
        self._lease = LeaseKeeper()
        self._walkers: dict[tuple[str, str], Walker] = {}
        self._plans: dict[bytes, WalkPlan] = {}
        self._dirty: dict[EventStream, None] = {}
        self._outgoing = WorkRequest()
        self._wake = asyncio.Event()
        self._histories: dict[int, tuple[execution_pb2.Assignment, list[RecordedEvent]]] = {}
        self._last_assignment = 0
        self._generation = 0
        self._draining = False
        self._pause = RECONNECT_SECONDS[0]
        self._empty = asyncio.Event()
        self.connected: Final = asyncio.Event()

    async def run(self) -> None:
        """Works until `drain` has been called and nothing is held any more."""
        watch = asyncio.create_task(self._watch_lease())
        try:
            while not (self._draining and not self._walkers):
                try:
                    await self._serve_stream()
                except grpc.aio.AioRpcError as error:
                    wait = round(self._pause * random.uniform(0.5, 1.0), 3)  # noqa: S311  # jitter, not a secret
                    log.warning("stream.lost", code=error.code().name, detail=error.details(), again_in_seconds=wait)
                    await asyncio.sleep(wait)
                    self._pause = min(self._pause * 2, RECONNECT_SECONDS[1])
        finally:
            watch.cancel()

    async def drain(self) -> None:
        """Takes no more runs, lets what runs end within the drain time, gives the rest back, and returns then.

        Runs that no server takes back within a few seconds more are left: their leases lapse.
        """
        self._draining = True
        self._say_credits()
        for walker in list(self._walkers.values()):
            walker.drain()
        if not await self._emptied(self._profile.drain_seconds):
            for walker in list(self._walkers.values()):
                walker.stop_runs()
        if not await self._emptied(GOODBYE_SECONDS):
            log.warning("runs.left", held=len(self._walkers))
            for walker in list(self._walkers.values()):
                walker.fence()
        self._wake.set()

    async def _emptied(self, seconds: float) -> bool:
        if self._walkers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
        return not self._walkers

    async def _serve_stream(self) -> None:
        call: Any = self._stub.Work()
        said_hello_at = clock.seconds()
        await call.write(WorkRequest(hello=self._hello()))
        response = await call.read()
        if response is grpc.aio.EOF or not response.HasField("welcome"):
            await _raise_status(call)
            return
        self._welcomed(response.welcome, said_hello_at)
        tasks = [
            asyncio.create_task(self._write(call), name="work-write"),
            asyncio.create_task(self._read(call), name="work-read"),
            asyncio.create_task(self._beat(), name="work-beat"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0] in done and tasks[0].exception() is None:
                # Everything is said. The server ends the stream when it has taken the goodbye in.
                done, _ = await asyncio.wait(tasks[1:2], timeout=GOODBYE_SECONDS)
            for task in done:
                task.result()
        finally:
            self.connected.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            call.cancel()

    def _hello(self) -> execution_pb2.Hello:
        profile = self._profile
        return execution_pb2.Hello(
            executor_id=profile.executor_id,
            incarnation=profile.incarnation,
            protocol=execution_pb2.VersionRange(lowest=PROTOCOL, highest=PROTOCOL),
            fold=execution_pb2.VersionRange(lowest=FOLD_VERSION, highest=FOLD_VERSION),
            node_kinds=list(KINDS),
            queues=profile.queues,
            providers=profile.providers,
            slots=profile.slots,
            version=profile.version,
        )

    def _welcomed(self, welcome: execution_pb2.Welcome, said_hello_at: float) -> None:
        terms = LeaseTerms(
            lease=welcome.lease.ToMicroseconds() / 1e6,
            heartbeat_interval=welcome.heartbeat_interval.ToMicroseconds() / 1e6,
            stall_allowance=welcome.stall_allowance.ToMicroseconds() / 1e6,
        )
        self._lease.welcome(terms, said_hello_at)
        self._equipment = self._equipment or self._equip(welcome.max_payload_bytes)
        if self._generation and welcome.generation != self._generation:
            log.warning("store.generation_changed", before=self._generation, now=welcome.generation)
        self._generation = welcome.generation
        self._last_assignment = 0
        self._histories.clear()
        # Acknowledgements and heartbeats belong to the stream that is gone; reports belong to no stream.
        self._outgoing = WorkRequest(late_reports=self._outgoing.late_reports, went_back=self._outgoing.went_back)
        for walker in self._walkers.values():
            walker.stream.reconnected()
        self._say_credits()
        self._pause = RECONNECT_SECONDS[0]
        self.connected.set()
        log.info("stream.opened", server=welcome.server_id, held=len(self._walkers))

    async def _beat(self) -> None:
        while True:
            beat = execution_pb2.Heartbeat(
                number=self._lease.beat(), last_assignment=self._last_assignment, held=self._held()
            )
            self._outgoing.heartbeat.CopyFrom(beat)
            self._wake.set()
            await asyncio.sleep(self._lease.heartbeat_interval)

    def _held(self) -> list[execution_pb2.HeldRun]:
        arriving = [(assignment.run_id, assignment.lease_id) for assignment, _ in self._histories.values()]
        return [
            execution_pb2.HeldRun(run_id=run_id, lease_id=lease_id) for run_id, lease_id in [*self._walkers, *arriving]
        ]

    async def _write(self, call: Any) -> None:
        while True:
            request = self._next_request()
            if request is not None:
                try:
                    await call.write(request)
                except asyncio.InvalidStateError:  # the stream has ended, and its status says why
                    await _raise_status(call)
                    return
                continue
            if self._draining and not self._walkers:
                await call.done_writing()
                return
            self._wake.clear()
            await self._wake.wait()

    def _next_request(self) -> WorkRequest | None:
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

    async def _read(self, call: Any) -> None:
        while True:
            response = await call.read()
            if response is grpc.aio.EOF:
                await _raise_status(call)
                return
            self._take_in(response)
            if response.HasField("drain"):
                # The server ends this stream soon. What is on its way is sent again on the next one.
                log.info("stream.ending")
                return

    def _take_in(self, response: WorkResponse) -> None:
        for answer in response.answers:
            walker = self._walkers.get((answer.run_id, answer.lease_id))
            if walker is not None and (answer.HasField("rejected") or walker.stream.is_for(answer)):
                self._note_if_store_went_back(walker, answer)
                walker.answered(answer)
        for assignment in response.assignments:
            self._assigned(assignment)
        for history in response.histories:
            self._continued(history)
        for delivery in response.deliveries:
            walker = self._walkers.get((delivery.run_id, delivery.lease_id))
            if walker is not None:
                walker.facts_came(list(delivery.facts))
        if response.HasField("heartbeat_ack"):
            self._lease.acknowledged(response.heartbeat_ack.number)
            self._wake.set()

    def _note_if_store_went_back(self, walker: Walker, answer: execution_pb2.Answer) -> None:
        if answer.HasField("resend") and answer.resend.from_ordinal <= walker.stream.acknowledged:
            lost = execution_pb2.StoreWentBack(
                run_id=answer.run_id, lease_id=answer.lease_id, acknowledged_ordinal=walker.stream.acknowledged
            )
            self._outgoing.went_back.append(lost)
            self._wake.set()

    def _assigned(self, assignment: execution_pb2.Assignment) -> None:
        self._last_assignment = assignment.number
        self._outgoing.assignment_acks.append(execution_pb2.AssignmentAck(number=assignment.number))
        self._wake.set()
        if assignment.plan_digest not in self._plans:
            self._plans[assignment.plan_digest] = read_plan(assignment.plan, assignment.plan_digest)
        if assignment.history_follows:
            self._histories[assignment.number] = (assignment, list(assignment.events))
        else:
            self._begin(assignment, list(assignment.events))

    def _continued(self, history: execution_pb2.History) -> None:
        waiting = self._histories.get(history.number)
        if waiting is None:
            return
        assignment, events = waiting
        events.extend(history.events)
        if history.last:
            del self._histories[history.number]
            self._begin(assignment, events)

    def _begin(self, assignment: execution_pb2.Assignment, history: list[RecordedEvent]) -> None:
        assert self._equipment is not None
        seen = max((recorded.sequence for recorded in history if _is_fact(recorded)), default=0)
        stream = EventStream(assignment.run_id, assignment.lease_id, seen, self._has_events)
        walker = Walker(self._plans[assignment.plan_digest], stream, self._equipment, self._lease, self._over)
        self._walkers[assignment.run_id, assignment.lease_id] = walker
        self._empty.clear()
        if self._draining:
            walker.drain()
        walker.begin(history)

    def _has_events(self, stream: EventStream) -> None:
        if (stream.run_id, stream.lease_id) in self._walkers:
            self._dirty[stream] = None
            self._wake.set()

    def _over(self, walker: Walker) -> None:
        self._walkers.pop((walker.stream.run_id, walker.stream.lease_id), None)
        self._dirty.pop(walker.stream, None)
        self._outgoing.late_reports.extend(walker.late_reports())
        self._say_credits()
        if not self._walkers:
            self._empty.set()

    def _say_credits(self) -> None:
        free = 0 if self._draining else self._profile.slots - len(self._walkers) - len(self._histories)
        credits = execution_pb2.Credits(free=max(0, free), last_assignment=self._last_assignment)
        self._outgoing.credits.CopyFrom(credits)
        self._wake.set()

    async def _watch_lease(self) -> None:
        """Ends what runs when the work end has passed, and tells the supervisor when that will be."""
        fed = 0.0
        while True:
            work_end = self._lease.work_end
            if self._equipment is not None and work_end != fed and work_end > 0:
                await _shielded(self._equipment.supervisor.feed_work_end(work_end))
                fed = work_end
            if self._walkers and clock.seconds() >= work_end:
                log.error("lease.work_end_passed", held=len(self._walkers))
                for walker in list(self._walkers.values()):
                    walker.stop_runs()
                self._end_if_threads_run_on()
            await asyncio.sleep(min(0.2, self._lease.heartbeat_interval / 4))

    def _end_if_threads_run_on(self) -> None:
        if self._equipment is not None and self._equipment.threads.running:
            # Nobody can end a thread, and another executor may begin the same work now.
            log.error("executor.ends_itself", threads=self._equipment.threads.running)
            os._exit(THREADS_LEFT_EXIT_CODE)


def _is_fact(recorded: RecordedEvent) -> bool:
    return recorded.event.WhichOneof("kind") in ("stop_requested", "run_continued", "fact_recorded")


async def _shielded(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:  # a lost supervisor is noticed by whoever waits for its commands
        log.exception("supervisor.not_fed")


async def _raise_status(call: Any) -> None:
    """Raises the status that a stream ended with, unless it is OK."""
    code = await call.code()
    if code is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(
            code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
        )
