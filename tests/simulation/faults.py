"""What goes wrong from outside: processes killed and suspended, machines cut off, clocks set, standbys promoted."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.simulation.control_planes import TIMING, ControlPlane
from tests.simulation.executors import Executor
from tests.simulation.house import House

LEASE_SECONDS: Final = TIMING.lease / 1e6

KINDS: Final = (
    "crash before commit", "crash after commit", "unknown outcome, committed", "unknown outcome, not committed",
    "slow commit", "stalled database", "outage noted", "lost ack", "lost answer", "duplicated message",
    "reordered message", "broken stream", "partition", "executor killed", "executor killed in guarded work",
    "executor drained", "executor suspended", "zombie woke after its lease", "executor ended itself",
    "work that will not end", "work failed", "server killed", "server suspended", "server drained",
    "clock set forward", "clock set back", "promotion to a lagging copy", "promotion that lost a guarded start",
    "generation raised by a server", "late report", "start repeated", "part begun", "shard begun",
    "person asked", "answer given",
    "people: decided", "people: signalled", "child begun", "child's end told", "child's end told too late",
    "failure taken", "promise not kept", "contract not met", "gone on with from a snapshot", "label asked for",
    "back-off waited for", "schedule fired", "schedule passed a time over", "schedule waited",
    "people: resolved", "people: continued", "people: paused", "people: resumed", "people: stopped",
)  # fmt: skip
"""Every kind of fault, and what people do at bad moments: over enough seeds each is to be hit."""


class Faults:
    """Brings about one after the other."""

    def __init__(self, house: House, chance: random.Random, *, lagging: bool) -> None:
        """`lagging` says whether a standby may take the database's place."""
        self._house = house
        self._chance = chance
        kinds: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._kill_executor, 5), (self._drain_executor, 2), (self._suspend_executor, 4), (self._kill_server, 3),
            (self._suspend_server, 2), (self._drain_server, 1), (self._partition, 3), (self._break_stream, 3),
            (self._stall, 2), (self._set_clock, 2), (self._promote, 3 if lagging else 0),
        ]  # fmt: skip
        self._faults = [fault for fault, _ in kinds]
        self._weights = [weight for _, weight in kinds]

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            await asyncio.sleep(1.4 * self._chance.random())
            (fault,) = self._chance.choices(self._faults, self._weights)
            self._house.world.spawn(fault())

    async def _pause(self, longest: float) -> None:
        await asyncio.sleep(0.1 + longest * self._chance.random() ** 2)

    def _one(self, among: list[Any]) -> Any:
        return self._chance.choice(among) if among else None

    def _executor(self) -> Executor | None:
        """One that works; most often one in the middle of something."""
        working = [executor for executor in self._house.working() if not executor.process.suspended]
        busy = [one for one in working if self._house.work.under_way.get(one.process.name)]
        executor: Executor | None = self._one(busy if busy and self._chance.random() < 0.6 else working)
        return executor

    async def _kill_executor(self) -> None:
        if (executor := self._executor()) is None:
            return
        name = executor.process.name
        self._hit("executor killed", name)
        if self._house.work.under_way.get(name, 0):
            self._hit("executor killed in guarded work", name)
        self._house.kill(executor.process)

    async def _drain_executor(self) -> None:
        if (executor := self._executor()) is None:
            return
        self._hit("executor drained", executor.process.name)
        executor.process.spawn(executor.worker.drain())

    async def _suspend_executor(self) -> None:
        if (executor := self._executor()) is None:
            return
        process, held = executor.process, self._house.database.leases_of(executor.process.name)
        self._hit("executor suspended", process.name)
        process.suspend()
        await self._pause(3 * LEASE_SECONDS)
        if process.alive and process.suspended:
            if held - self._house.database.leases_of(process.name):
                self._hit("zombie woke after its lease", process.name)
            process.resume()

    async def _kill_server(self) -> None:
        server: ControlPlane | None = self._one(self._house.serving())
        if server is None:
            return
        self._hit("server killed", server.process.name)
        self._house.kill(server.process)

    async def _suspend_server(self) -> None:
        server: ControlPlane | None = self._one(self._house.serving())
        if server is None or server.process.suspended:
            return
        self._hit("server suspended", server.process.name)
        server.process.suspend()
        await self._pause(LEASE_SECONDS)
        server.process.resume()

    async def _drain_server(self) -> None:
        server: ControlPlane | None = self._one(self._house.serving())
        if server is None:
            return
        self._hit("server drained", server.process.name)
        server.drain()
        await asyncio.sleep(TIMING.drain_notice / 1e6 + 0.5)
        self._house.kill(server.process)

    async def _partition(self) -> None:
        server, executor = self._one(self._house.serving()), self._executor()
        if server is None or executor is None:
            return
        self._hit("partition", executor.process.name, server=server.process.name)
        network = self._house.network
        network.partition(executor.process.name.partition(".")[0], server.process.name.partition(".")[0])
        for stream in network.connected():
            if (stream.client, stream.server) == (executor.process, server.process):
                stream.cut()
        await self._pause(2 * LEASE_SECONDS)
        network.heal()

    async def _break_stream(self) -> None:
        stream = self._one(self._house.network.connected())
        if stream is not None:
            self._hit("broken stream", stream.client.name, server=stream.server.name)
            stream.break_off(2.0)

    async def _stall(self) -> None:
        seconds = 0.2 + self._chance.choice([1, 1, 3]) * LEASE_SECONDS * self._chance.random()
        self._hit("stalled database", "database", seconds=round(seconds, 2))
        self._house.database.stall(seconds)

    async def _set_clock(self) -> None:
        seconds = (self._chance.random() - 0.4) * 2.5 * LEASE_SECONDS
        self._hit("clock set forward" if seconds > 0 else "clock set back", "database", seconds=round(seconds, 2))
        self._house.database.jump(seconds)

    async def _promote(self) -> None:
        self._house.database.copy()
        await self._pause(2.0)
        if not self._house.work.calm:
            self._house.promote()

    def _hit(self, fault: str, who: str, **details: object) -> None:
        self._house.record.hit(fault, who, **details)
