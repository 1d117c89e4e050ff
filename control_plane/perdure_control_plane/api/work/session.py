"""One executor's stream: hello, claims, event batches and their answers, facts, heartbeats, and its end."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, replace
from typing import Final

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.runlog.instances import instance
from perdure.v1 import execution_pb2
from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.api.messages.times import duration
from perdure_control_plane.api.work.incoming import read_batch
from perdure_control_plane.api.work.outbox import Outbox, answer_message
from perdure_control_plane.domain.admission import Ack, Answer, Batch, Behind, Rejected
from perdure_control_plane.domain.errors import ProtocolViolation, VersionUnsupported
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.identity import ServerIdentity
from perdure_control_plane.domain.ids import Incarnation, LeaseId, RunId
from perdure_control_plane.domain.limits import SECOND, Limits, Timing
from perdure_control_plane.usecases.changes import Changes
from perdure_control_plane.usecases.claim_runs import Claim, Claimed, acknowledge_assignments, claim_runs
from perdure_control_plane.usecases.connect_executor import HeldRun, connect_executor, disconnect_executor, renew_lease
from perdure_control_plane.usecases.fold_run import READ_AT_ONCE
from perdure_control_plane.usecases.open_store_life import raise_generation
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.record_late_report import Report, record_late_report

log = structlog.get_logger(__name__)

PROTOCOL: Final = 1
CLAIM_AT_ONCE: Final = 100
HISTORY_BYTES: Final = 1024 * 1024
IDLE_POLL_SECONDS: Final = (1.0, 30.0)
"""How long an executor with room waits before it looks into an empty queue again, at first and at most."""


@dataclass(slots=True)
class Held:
    """A run that the executor was handed on this stream or says it holds. `delivered` is the last fact it was sent."""

    lease_id: LeaseId
    delivered: int


@dataclass(frozen=True, slots=True)
class Desk:
    """What every session works with."""

    store: Store
    changes: Changes
    timing: Timing
    limits: Limits
    identity: ServerIdentity


class WorkSession:
    """Serves one stream."""

    def __init__(self, desk: Desk, hello: execution_pb2.Hello) -> None:
        """Raises ProtocolViolation or VersionUnsupported for a hello that cannot be served."""
        self._desk = desk
        self._executor = _executor(hello)
        self._outbox = Outbox()
        self._held: dict[RunId, Held] = {}
        self._unconfirmed: dict[int, tuple[RunId, LeaseId]] = {}
        self._late_facts: set[RunId] = set()
        self._free = 0
        self._last_number = 0
        self._seen_number = 0
        self._room = asyncio.Event()
        self._ended = False
        self._leaving = False
        self._said_goodbye = False
        self._plans_sent: set[bytes] = set()
        self._background: set[asyncio.Task[None]] = set()

    async def serve(self, requests: AsyncIterator[WorkRequest]) -> AsyncIterator[WorkResponse]:
        """The responses, until the executor, the server, or the stream's age ends it."""
        self._executor = replace(
            self._executor, stream_number=await connect_executor(self._desk.store, self._desk.timing, self._executor)
        )
        log.info("executor.connected", executor=self._executor.executor_id, stream=self._executor.stream_number)
        self._outbox.say(WorkResponse(welcome=self._welcome()))
        tasks = [
            asyncio.create_task(self._read(requests), name="work-read"),
            asyncio.create_task(self._hand_out(), name="work-hand-out"),
            asyncio.create_task(self._age(), name="work-age"),
        ]
        for task in tasks:
            task.add_done_callback(lambda _: self._outbox.wake.set())
        try:
            while True:
                response = self._outbox.take()
                if response is not None:
                    yield response
                    continue
                for task in tasks:
                    if task.done():
                        task.result()
                if self._ended:
                    return
                await self._outbox.wake.wait()
                self._outbox.wake.clear()
        finally:
            await self._end(tasks)

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in [*tasks, *self._background]:
            task.cancel()
        await asyncio.gather(*tasks, *self._background, return_exceptions=True)
        for run_id in self._held:
            self._desk.changes.let_go(run_id, self._facts_came)
        if self._said_goodbye and not self._held:
            await disconnect_executor(self._desk.store, self._executor.incarnation, self._executor.stream_number)
        log.info("executor.disconnected", executor=self._executor.executor_id, stream=self._executor.stream_number)

    def _welcome(self) -> execution_pb2.Welcome:
        timing, limits = self._desk.timing, self._desk.limits
        return execution_pb2.Welcome(
            server_id=self._desk.identity.server_id,
            generation=self._desk.identity.generation,
            protocol=PROTOCOL,
            lease=duration(timing.lease),
            heartbeat_interval=duration(timing.heartbeat_interval),
            stall_allowance=duration(timing.stall_allowance),
            stop_grace=duration(timing.stop_grace),
            max_payload_bytes=limits.max_payload_bytes,
            max_message_bytes=limits.max_message_bytes,
        )

    async def _read(self, requests: AsyncIterator[WorkRequest]) -> None:
        async for request in requests:
            if request.HasField("hello"):
                raise ProtocolViolation("hello: it stands in the first message only")
            for message in request.batches:
                self._submit(read_batch(message, self._desk.limits.max_payload_bytes))
            if request.assignment_acks:
                self._acknowledge(request)
            if request.HasField("credits"):
                self._take_credits(request.credits)
            if request.HasField("heartbeat"):
                self._spawn(self._renew(request.heartbeat))
            for report in request.late_reports:
                self._spawn(self._keep_report(report))
            if request.went_back:
                self._spawn(self._store_went_back(request.went_back[0]))
        # The executor closed its side: it has nothing left to say and holds what it has not given back.
        self._said_goodbye = True
        self._finish()

    def _finish(self) -> None:
        self._ended = True
        self._outbox.wake.set()

    def _submit(self, batch: Batch) -> None:
        def reply(answer: Answer) -> None:
            message = answer_message(batch, answer)
            if message is None:
                return
            if isinstance(answer, Behind):
                self._spawn(self._answer_behind(message, batch))
                return
            self._outbox.answer(message)
            if isinstance(answer, Rejected) or (isinstance(answer, Ack) and _releases(batch)):
                self._let_go(batch.run_id, batch.lease_id)

        self._desk.store.append(batch, reply)

    async def _answer_behind(self, message: execution_pb2.Answer, batch: Batch) -> None:
        message.behind.facts.extend(await self._facts(batch.run_id, batch.seen))
        self._outbox.answer(message)

    def _acknowledge(self, request: WorkRequest) -> None:
        # An event under the lease confirms it as well, so runs that have begun need no confirmation of their own.
        begun = {batch.run_id for batch in request.batches}
        numbers = (ack.number for ack in request.assignment_acks)
        leases = [self._unconfirmed.pop(number) for number in numbers if number in self._unconfirmed]
        silent = [(run_id, lease_id) for run_id, lease_id in leases if run_id not in begun]
        if silent:
            self._spawn(acknowledge_assignments(self._desk.store, silent))

    def _take_credits(self, credits: execution_pb2.Credits) -> None:
        # Absolute: what was assigned after the number it names is not in its count yet.
        self._free = credits.free - (self._last_number - credits.last_assignment)
        if self._free > 0:
            self._room.set()

    async def _renew(self, heartbeat: execution_pb2.Heartbeat) -> None:
        held = tuple(HeldRun(RunId(run.run_id), LeaseId(run.lease_id)) for run in heartbeat.held)
        executor = self._executor
        renewal = await renew_lease(
            self._desk.store,
            self._desk.timing,
            executor.incarnation,
            executor.stream_number,
            heartbeat.last_assignment,
            held,
        )
        if renewal is None:
            self._finish()  # a newer stream of the same process serves it
            return
        for stranger in renewal.strangers:
            rejected = execution_pb2.Answer(run_id=stranger.run_id, lease_id=stranger.lease_id)
            rejected.rejected.SetInParent()
            self._outbox.answer(rejected)
        for run, last_fact in renewal.facts:
            known = self._held.get(run.run_id)
            if known is None:
                self._hold(run.run_id, Held(run.lease_id, 0))
            if last_fact > self._held[run.run_id].delivered:
                self._facts_came(run.run_id)
        self._drop_unheld({run.run_id for run in held}, heartbeat.last_assignment)
        acknowledged = execution_pb2.HeartbeatAck(number=heartbeat.number, server_time=_now())
        self._outbox.say(WorkResponse(heartbeat_ack=acknowledged))

    def _drop_unheld(self, held: set[RunId], last_assignment: int) -> None:
        if last_assignment < self._last_number:
            return
        for run_id in [run_id for run_id in self._held if run_id not in held]:
            self._let_go(run_id, self._held[run_id].lease_id)

    async def _keep_report(self, report: execution_pb2.LateReport) -> None:
        kept = Report(RunId(report.run_id), instance(report.instance), report.report)
        stored = await record_late_report(self._desk.store, self._executor.executor_id, kept)
        log.info("report.received", run=report.run_id, instance=str(kept.instance), stored=stored)

    async def _store_went_back(self, lost: execution_pb2.StoreWentBack) -> None:
        log.error("store.went_back", run=lost.run_id, acknowledged=lost.acknowledged_ordinal)
        mark = await raise_generation(self._desk.store)
        self._desk.identity.generation = mark.generation

    async def _hand_out(self) -> None:
        wake = asyncio.Event()
        end = self._desk.changes.await_work(wake)
        pause = IDLE_POLL_SECONDS[0]
        try:
            while True:
                await self._room.wait()
                wake.clear()
                if self._leaving or self._desk.changes.draining:
                    return
                wanted = min(self._free, CLAIM_AT_ONCE)
                claimed = await self._claim(wanted) if wanted > 0 else 0
                if self._free <= 0:
                    self._room.clear()
                if claimed:
                    pause = IDLE_POLL_SECONDS[0]
                if claimed < wanted:
                    await _wait_for(wake, pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret
                    pause = min(pause * 2, IDLE_POLL_SECONDS[1])
        finally:
            end()

    async def _claim(self, wanted: int) -> int:
        executor = self._executor
        claim = Claim(
            executor.incarnation, executor.stream_number, wanted, self._last_number + 1, self._desk.identity.generation
        )
        claimed = await claim_runs(self._desk.store, self._desk.timing, claim)
        self._free -= len(claimed)
        self._last_number += len(claimed)
        for taken in claimed:
            self._unconfirmed[taken.number] = (taken.run.run_id, taken.lease_id)
            self._hold(taken.run.run_id, Held(taken.lease_id, taken.run.head.outside_sequence))
        await self._send(claimed)
        return len(claimed)

    async def _send(self, claimed: list[Claimed]) -> None:
        wanted = {taken.run.identity.plan_digest for taken in claimed} - self._plans_sent

        def body(tx: Transaction) -> tuple[list[list[RecordedEvent]], dict[bytes, bytes]]:
            first = [
                tx.events.after(taken.run.run_id, 0, limit=READ_AT_ONCE, max_bytes=HISTORY_BYTES) for taken in claimed
            ]
            return first, {digest: tx.playbooks.plan(digest) for digest in wanted}

        histories, plans = await self._desk.store.read(body)
        for taken, events in zip(claimed, histories, strict=True):
            digest = taken.run.identity.plan_digest
            granted = taken.run.head.last_sequence
            assignment = execution_pb2.Assignment(
                number=taken.number,
                run_id=taken.run.run_id,
                lease_id=taken.lease_id,
                plan_digest=digest,
                plan=plans.pop(digest, b""),
                events=events,
                history_follows=events[-1].sequence < granted,
            )
            self._outbox.say(WorkResponse(assignments=[assignment]))
            if assignment.history_follows:
                await self._send_rest(taken, events[-1].sequence, granted)
        self._plans_sent |= wanted

    async def _send_rest(self, taken: Claimed, after: int, granted: int) -> None:
        while after < granted:
            piece = await self._desk.store.read(
                lambda tx, after=after: tx.events.after(  # type: ignore[misc]  # default binds now
                    taken.run.run_id, after, limit=READ_AT_ONCE, max_bytes=HISTORY_BYTES
                )
            )
            after = piece[-1].sequence
            history = execution_pb2.History(number=taken.number, events=piece, last=after >= granted)
            self._outbox.say(WorkResponse(histories=[history]))

    def _hold(self, run_id: RunId, held: Held) -> None:
        self._held[run_id] = held
        self._desk.changes.hold(run_id, self._facts_came)

    def _let_go(self, run_id: RunId, lease_id: LeaseId) -> None:
        held = self._held.get(run_id)
        if held is not None and held.lease_id == lease_id:
            del self._held[run_id]
            self._desk.changes.let_go(run_id, self._facts_came)

    def _facts_came(self, run_id: str) -> None:
        first = not self._late_facts
        self._late_facts.add(RunId(run_id))
        if first:
            self._spawn(self._deliver())

    async def _deliver(self) -> None:
        while self._late_facts:
            run_id = self._late_facts.pop()
            held = self._held.get(run_id)
            if held is None:
                continue
            facts = await self._facts(run_id, held.delivered)
            if facts:
                held.delivered = facts[-1].sequence
                delivery = execution_pb2.Delivery(run_id=run_id, lease_id=held.lease_id, facts=facts)
                self._outbox.say(WorkResponse(deliveries=[delivery]))

    async def _facts(self, run_id: RunId, after: int) -> list[RecordedEvent]:
        return await self._desk.store.read(lambda tx: tx.events.facts_after(run_id, after))

    async def _age(self) -> None:
        """Ends the stream when it is old, with notice, so that new servers get their share of executors."""
        timing = self._desk.timing
        wake = asyncio.Event()
        end = self._desk.changes.await_work(wake)
        old_at = asyncio.get_running_loop().time() + timing.stream_age / SECOND * random.uniform(0.7, 1.3)  # noqa: S311  # jitter
        try:
            while not self._desk.changes.draining:
                left = old_at - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                wake.clear()
                await _wait_for(wake, left)
        finally:
            end()
        self._outbox.say(WorkResponse(drain=execution_pb2.Drain(notice=duration(timing.drain_notice))))
        self._leaving = True
        await asyncio.sleep(timing.drain_notice / SECOND)
        self._finish()

    def _spawn(self, work: Coroutine[None, None, object]) -> None:
        task = asyncio.create_task(_logged(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _releases(batch: Batch) -> bool:
    return bool(batch.events) and batch.events[-1].kind in ("run_ended", "run_paused", "lease_returned")


async def _logged(work: Coroutine[None, None, object]) -> None:
    try:
        await work
    except Exception:  # the stream goes on; the executor repeats what was not answered
        log.exception("work.failed")


async def _wait_for(wake: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(wake.wait(), seconds)
    except TimeoutError:
        return


def _executor(hello: execution_pb2.Hello) -> Executor:
    for field in ("executor_id", "incarnation"):
        if not getattr(hello, field):
            raise ProtocolViolation(f"hello.{field}: is required")
    if not hello.protocol.lowest <= PROTOCOL <= hello.protocol.highest:
        raise VersionUnsupported("protocol", str(PROTOCOL))
    return Executor(
        executor_id=hello.executor_id,
        incarnation=Incarnation(hello.incarnation),
        stream_number=0,
        lease_until=0,
        renewed_at=0,
        node_kinds=tuple(hello.node_kinds),
        queues=tuple(hello.queues),
        providers=tuple(hello.providers),
        fold_lowest=hello.fold.lowest,
        fold_highest=hello.fold.highest,
        slots=hello.slots,
        version=hello.version,
    )


def _now() -> Timestamp:
    message = Timestamp()
    message.GetCurrentTime()
    return message
