"""Control planes as processes: the real use cases, sessions, journal and sweep on the one database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure_control_plane.api.execution_servicer import ExecutionServicer
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.domain.approval import TokenKeys
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.identity import ServerIdentity
from perdure_control_plane.domain.limits import SECOND, Limits, Timing
from perdure_control_plane.storage.writer import Committed
from perdure_control_plane.usecases.changes import Changes
from perdure_control_plane.usecases.fire_schedules import fire_schedules
from perdure_control_plane.usecases.open_store_life import follow_store_life, open_store_life
from perdure_control_plane.usecases.start_flow import FlowStarter
from perdure_control_plane.usecases.sweep import sweep
from perdure_services.messages import deliver_on
from perdure_services.snapshots import Snapshotter
from tests.simulation.database import Database
from tests.simulation.loop import Process
from tests.simulation.record import Record
from tests.simulation.store import SimulatedStore

TIMING: Final = Timing(
    lease=3 * SECOND,
    heartbeat_interval=1 * SECOND,
    stall_allowance=2 * SECOND,
    stop_grace=2 * SECOND,
    assignment_ack=1 * SECOND,
    sweep_interval=SECOND,
    stream_age=60 * SECOND,
    drain_notice=1 * SECOND,
)
SNAPSHOT_EVENTS: Final = 10
"""Logs are short here."""
LIMITS: Final = Limits()
KEYS: Final = TokenKeys("k1", {"k1": b"secret" * 6})


class ControlPlane:
    """One process that serves."""

    def __init__(
        self, database: Database, process: Process, record: Record, tell: Callable[[str, Committed], None]
    ) -> None:
        self.process: Final = process
        self.changes: Final = Changes()
        self.store: Final = SimulatedStore(database, process, lambda committed: tell(process.name, committed))
        self.starter: Final = FlowStarter(self.store, LIMITS)
        self.serving = False
        self._database = database
        self._record = record
        self._servicer: ExecutionServicer | None = None

    @property
    def reachable(self) -> bool:
        """Whether whoever calls it is answered."""
        return self.process.alive and self.serving

    def drain(self) -> None:
        """Tells executors to go elsewhere."""
        self.serving = False
        self.changes.drain()

    async def run(self, starts: "Starts") -> None:
        """Begins its life, serves, and sweeps; ends, to be started again, where the store cannot be written at first."""
        try:
            await self._run(starts)
        except StoreUnavailable as refusal:
            self._record.step(self.process.name, "could not start", why=refusal)
            self.process.kill()

    async def _run(self, starts: "Starts") -> None:
        await self.store.open()
        life = await open_store_life(self.store, None if self._database.shared else starts.count)
        if not self._database.shared:
            starts.count = life.mark.starts
        self._say_life(life.restored, life.held)
        self.store.on_commit(self.changes.committed)
        identity = ServerIdentity(self.process.name, "simulated", life.mark.generation, self.store.kind)
        desk = Desk(self.store, self.changes, TIMING, LIMITS, identity)
        self._servicer = ExecutionServicer(desk)
        self.serving = True
        self.process.spawn(deliver_on(desk))
        snapshotter = Snapshotter(self.store, SNAPSHOT_EVENTS)
        self.store.on_commit(snapshotter.committed)
        self.process.spawn(snapshotter.run())
        self._record.step(self.process.name, "serves", generation=identity.generation)
        while True:
            await asyncio.sleep(TIMING.sweep_interval / SECOND)
            await self._sweep(desk)

    async def _sweep(self, desk: Desk) -> None:
        try:
            life = await follow_store_life(self.store)
            self._say_life(life.restored, life.held)
            desk.identity.generation = life.mark.generation
            swept = await sweep(self.store, TIMING)
            if self._database.scheduled:
                await self._fire()
        except StoreUnavailable:
            return
        if swept.outage is not None:
            self._record.hit("outage noted", self.process.name)
        for run_id, failure in swept.failed.items():
            self._record.broken.append(f"{self.process.name}: the sweep failed with run {run_id}: {failure!r}")
        for held in swept.held:
            self._record.step(self.process.name, "run held", run=held.run_id, reason=held.reason)
        if swept.requeued or swept.ended or swept.expired or swept.followed_up:
            self._record.step(
                self.process.name,
                "swept",
                requeued=swept.requeued,
                ended=swept.ended,
                expired=swept.expired,
                followed_up=swept.followed_up,
            )

    async def _fire(self) -> None:
        fired = await fire_schedules(self.store, LIMITS)
        if fired.schedules:
            self._record.hit("schedule fired", self.process.name)
        for schedule, failure in fired.failed.items():
            self._record.step(self.process.name, "schedule postponed", schedule=schedule, reason=failure)

    def _say_life(self, restored: bool, held: Any) -> None:
        if restored:
            self._record.hit("generation raised by a server", self.process.name, held=list(held))

    async def work(self, requests: AsyncIterator[WorkRequest]) -> AsyncIterator[WorkResponse]:
        """Serves an executor's stream."""
        assert self._servicer is not None
        async for response in self._servicer.Work(requests, None):
            yield response


class Starts:
    """The file beside a SQLite database with its count of starts. It is on another disk, and survives."""

    def __init__(self) -> None:
        self.count: int | None = None
