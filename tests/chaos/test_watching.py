"""Watchers of one run see exactly its log, however often the server is killed under them."""

import asyncio
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest

from perdure.client import Client, pages
from perdure.v1 import flows_pb2, runs_pb2, runs_pb2_grpc
from perdure.v1.run_events_pb2 import RecordedEvent
from tests.chaos.fleet import Fleet, Seat
from tests.chaos.load import SESSION, Load
from tests.chaos.record import Record
from tests.free_ports import free_port

KILLS = 10
FRESH = 8
"""Events that every watcher must have got since the last kill, before the next one."""

ENDLESS = """
playbook_id: endless
version: 1.0.0
title: A long way
objective: Go on until it is stopped
nodes:
""" + "".join(
    f"  - {{id: step-{number}, type: function, function: wait, effect: none, inputs: {{seconds: 0.05}}}}\n"
    for number in range(800)
)


@dataclass
class Watcher:
    """Everything that one watcher was sent, in order and unfiltered."""

    events: list[RecordedEvent] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, watched: AsyncIterator[RecordedEvent]) -> None:
        async for recorded in watched:
            self.events.append(recorded)
            self.more.set()

    async def until(self, count: int) -> None:
        """Returns when it has been sent so many events."""
        while len(self.events) < count:
            self.more.clear()
            await self.more.wait()


@pytest.fixture
async def fleet(tmp_path: pathlib.Path) -> AsyncIterator[Fleet]:
    port = free_port()
    started = Fleet(tmp_path, executors=2, seats=[Seat(port, port)])
    started.start()
    yield started
    started.close()


@pytest.mark.timeout(300)
async def test_three_watchers_across_ten_kills_see_every_event_once(fleet: Fleet) -> None:
    async with Client(fleet.address) as client:
        record = Record()
        run = await _start(client, record)
        watchers = [Watcher(), Watcher(), Watcher()]
        async with asyncio.TaskGroup() as watching:
            watching.create_task(watchers[0].follow(client.watch_run(run)))
            for watcher in watchers[1:]:
                watching.create_task(watcher.follow(_unaided(fleet.address, run)))
            for _ in range(KILLS):
                await asyncio.gather(*(watcher.until(len(watcher.events) + FRESH) for watcher in watchers))
                fleet.kill_server(fleet.seats[0])
                fleet.start_server(fleet.seats[0])
            await asyncio.gather(*(watcher.until(len(watcher.events) + FRESH) for watcher in watchers))
            await _persist(record, lambda: client.runs.CancelRun(runs_pb2.CancelRunRequest(name=run, request_id="c")))

        log = await _log(client, run)

    assert len(fleet.server_kills) == KILLS
    assert [recorded.sequence for recorded in log] == list(range(1, len(log) + 1))
    assert log[-1].event.HasField("run_ended")
    for watcher in watchers:
        assert watcher.events == log


async def _start(client: Client, record: Record) -> str:
    """Starts the run that is watched."""
    load = Load(client, record, chance=None, in_flight=1, per_second=1)  # type: ignore[arg-type]  # nothing is drawn
    await load.publish([ENDLESS])
    (version,) = load.versions
    request = flows_pb2.StartFlowRequest(
        playbook_version=version.name, digest=version.digest, session=SESSION, idempotency_key="watched"
    )
    return (await _persist(record, lambda: client.flows.StartFlow(request))).root_run


async def _persist(record: Record, call: Callable[[], Awaitable[flows_pb2.Flow]]) -> flows_pb2.Flow:
    answer = await record.ask(call)
    assert answer is not None, record.broken
    return answer


async def _unaided(address: str, run: str) -> AsyncIterator[RecordedEvent]:
    """Watches with nothing but the stub: asks for what comes after the last event, and passes on whatever is sent."""
    last = 0
    async with grpc.aio.insecure_channel(address, [("grpc.max_reconnect_backoff_ms", 300)]) as channel:
        stub = runs_pb2_grpc.RunServiceStub(channel)
        while True:
            try:
                async for item in stub.WatchRun(runs_pb2.WatchRunRequest(name=run, after_sequence=last)):
                    if item.HasField("event"):
                        last = item.event.sequence
                        yield item.event
                return
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await channel.channel_ready()


async def _log(client: Client, run: str) -> list[RecordedEvent]:
    request = runs_pb2.ListRunEventsRequest(name=run, page_size=1000)
    return [recorded async for page in pages(client.runs.ListRunEvents, request) for recorded in page.events]
