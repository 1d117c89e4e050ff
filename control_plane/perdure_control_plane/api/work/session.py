"""One executor's stream: hello, event batches and their answers, reports, heartbeats, and its end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.runlog.kinds import RELEASING_KINDS
from perdure.v1 import execution_pb2
from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure_control_plane.api.messages.times import duration
from perdure_control_plane.api.work.assignments import Assignments
from perdure_control_plane.api.work.background import Background
from perdure_control_plane.api.work.deliveries import Deliveries
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.api.work.hello import read_hello, welcome
from perdure_control_plane.api.work.ids import check_ids
from perdure_control_plane.api.work.incoming import read_batch, read_report
from perdure_control_plane.api.work.outbox import Outbox, answer_message
from perdure_control_plane.api.work.waiting import old_or_leaving
from perdure_control_plane.domain.admission import Ack, Answer, Batch, Behind, Rejected
from perdure_control_plane.domain.errors import ProtocolViolation
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.ids import LeaseId, RunId
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.usecases.claim_runs import acknowledge_assignments
from perdure_control_plane.usecases.connect_executor import HeldRun, connect_executor, disconnect_executor, renew_lease
from perdure_control_plane.usecases.open_store_life import Lost, raise_generation
from perdure_control_plane.usecases.record_late_report import Reception, Report, record_late_report

log = structlog.get_logger(__name__)


class WorkSession:
    """Serves one stream."""

    def __init__(self, desk: Desk, executor: Executor) -> None:
        self._desk = desk
        self._executor = executor
        self._outbox = Outbox()
        self._background = Background(self._finish)
        self._deliveries = Deliveries(desk, self._outbox, self._background)
        self._assignments = Assignments(desk, executor, self._outbox, self._deliveries)
        self._ended = False
        self._said_goodbye = False

    @classmethod
    async def open(cls, desk: Desk, hello: execution_pb2.Hello) -> "WorkSession":
        """Begins a stream. Raises FieldInvalid or VersionUnsupported for a hello that cannot be served."""
        executor = read_hello(hello)
        number = await connect_executor(desk.store, desk.timing, executor)
        log.info("executor.connected", executor=executor.executor_id, stream=number)
        return cls(desk, replace(executor, stream_number=number))

    async def serve(self, requests: AsyncIterator[WorkRequest]) -> AsyncIterator[WorkResponse]:
        """The responses, until the executor, the server, or the stream's age ends it."""
        self._outbox.say(WorkResponse(welcome=welcome(self._desk)))
        tasks = [
            asyncio.create_task(self._read(requests), name="work-read"),
            asyncio.create_task(self._assignments.hand_out(), name="work-hand-out"),
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
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._background.end()
        self._deliveries.end()
        if self._said_goodbye and not self._deliveries.holds:
            await disconnect_executor(self._desk.store, self._executor.incarnation, self._executor.stream_number)
        log.info("executor.disconnected", executor=self._executor.executor_id, stream=self._executor.stream_number)

    async def _read(self, requests: AsyncIterator[WorkRequest]) -> None:
        async for request in requests:
            if request.HasField("hello"):
                raise ProtocolViolation("hello: it stands in the first message only")
            check_ids(request)
            # Ahead of the batches, so that a run that is given up and the one that takes its place share a commit.
            if request.HasField("credits"):
                self._assignments.take_credits(request.credits)
            for message in request.batches:
                self._submit(read_batch(message, self._desk.limits.max_payload_bytes))
            if request.assignment_acks:
                self._acknowledge(request)
            if request.HasField("heartbeat"):
                self._background.spawn(self._renew(request.heartbeat))
            for report in request.late_reports:
                self._background.spawn(self._keep_report(report.number, read_report(report)))
            for lost in request.went_back:
                self._background.spawn(self._store_went_back(lost))
        # The executor closed its side: it has nothing left to say and holds what it has not given back.
        self._said_goodbye = True
        self._finish()

    def _finish(self) -> None:
        self._ended = True
        self._outbox.wake.set()

    def _submit(self, batch: Batch) -> None:
        def reply(answer: Answer) -> None:
            message = answer_message(batch, answer)
            if isinstance(answer, Behind):
                self._background.spawn_owed(self._answer_behind(message, batch))
                return
            self._outbox.answer(message)
            if isinstance(answer, Rejected) or (isinstance(answer, Ack) and _releases(batch)):
                self._deliveries.let_go(batch.run_id, batch.lease_id)

        self._desk.store.append(batch, reply)

    async def _answer_behind(self, message: execution_pb2.Answer, batch: Batch) -> None:
        message.behind.facts.extend(await self._deliveries.facts(batch.run_id, batch.seen))
        self._outbox.answer(message)

    def _acknowledge(self, request: WorkRequest) -> None:
        # An event under the lease confirms it as well, so runs that have begun need no confirmation of their own.
        begun = {batch.run_id for batch in request.batches}
        leases = self._assignments.confirm(ack.number for ack in request.assignment_acks)
        silent = [(run_id, lease_id) for run_id, lease_id in leases if run_id not in begun]
        if silent:
            self._background.spawn(acknowledge_assignments(self._desk.store, silent))

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
            self._deliveries.confirm(run.run_id, run.lease_id, last_fact)
        if heartbeat.last_assignment >= self._assignments.last_number:
            self._deliveries.keep_only({run.run_id for run in held})
        self._outbox.acknowledge(execution_pb2.HeartbeatAck(number=heartbeat.number, server_time=_now()))

    async def _keep_report(self, number: int, report: Report) -> None:
        received = await record_late_report(self._desk.store, self._executor.executor_id, report)
        log.info("report.received", run=report.run_id, instance=str(report.instance), reception=received)
        if received is not Reception.TOO_EARLY:
            self._outbox.say(WorkResponse(late_report_acks=[number]))

    async def _store_went_back(self, lost: execution_pb2.StoreWentBack) -> None:
        reported = Lost(RunId(lost.run_id), LeaseId(lost.lease_id), lost.acknowledged_ordinal)
        if (mark := await raise_generation(self._desk.store, reported)) is not None:
            log.error("store.went_back", run=lost.run_id, acknowledged=lost.acknowledged_ordinal)
            self._desk.identity.generation = mark.generation

    async def _age(self) -> None:
        await old_or_leaving(self._desk)
        notice = self._desk.timing.drain_notice
        self._outbox.say(WorkResponse(drain=execution_pb2.Drain(notice=duration(notice))))
        self._assignments.stop()
        await asyncio.sleep(notice / SECOND)
        self._finish()


def _releases(batch: Batch) -> bool:
    return bool(batch.events) and batch.events[-1].kind in RELEASING_KINDS


def _now() -> Timestamp:
    message = Timestamp()
    message.GetCurrentTime()
    return message
