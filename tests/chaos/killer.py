"""What is killed, frozen, dismissed and started again, and when."""

import asyncio
import json
import pathlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from perdure.client import CallFailed, Client
from perdure.v1 import runs_pb2
from tests.chaos.fleet import LEASE_SECONDS, Fleet, Program, Seat
from tests.chaos.place import Place

SEARCH_SECONDS: Final = 1.5
"""How long a kill that is meant for guarded work waits for such work to begin."""


@dataclass(frozen=True, slots=True)
class Toll:
    """How much is to be suffered, and the mean pause between two kills of executors, in seconds."""

    executors: int
    servers: int
    pause: float
    databases: int = 0

    @property
    def zombies(self) -> int:
        """Executors that are frozen beyond their lease, and wake up."""
        return max(1, self.executors // 5)

    @property
    def stalls(self) -> int:
        """Times that the control plane is frozen, mostly for longer than a lease."""
        return max(1, self.servers // 2)

    @property
    def failovers(self) -> int:
        """Those deaths of the database after which its standby takes over; it is started again after any other."""
        return (self.databases + 2) // 3

    @property
    def cuts(self) -> int:
        """Times that all connections to a control plane, or to the database, are cut, or else held up."""
        return max(2, self.executors // 5)

    @property
    def dismissals(self) -> int:
        """Executors that are asked to end."""
        return max(1, self.executors // 5)


@dataclass(slots=True)
class Killer:
    """Ends programs at random moments; every other executor dies inside guarded work."""

    client: Client
    fleet: Fleet
    place: Place
    ledger: pathlib.Path
    chance: random.Random
    toll: Toll
    said: Callable[[str], None]
    dealt: "Counter[str]" = field(default_factory=Counter)
    """What else than kills."""
    _read: int = 0

    async def run(self) -> None:
        """Returns when the whole toll is taken."""
        blows = (
            self._kill_executors(),
            self._kill_servers(),
            self._repeat(self.toll.zombies, self._make_zombie),
            self._repeat(self.toll.stalls, self._stall_server),
            self._repeat(self.toll.dismissals, self._dismiss),
            self._repeat(self.toll.cuts, self._cut),
            self._repeat(self.toll.databases, self._kill_database),
        )
        async with asyncio.TaskGroup() as tasks:
            for blow in blows:
                tasks.create_task(blow)

    async def _kill_executors(self) -> None:
        for number in range(self.toll.executors):
            await self._pause()
            victim = await self._at_guarded_work() if number % 2 else None
            anybody = await self._anybody()
            self.fleet.kill(victim if victim in self.fleet.awake() else anybody)
            self.fleet.fill()
            self.said(f"killed executor {number + 1} of {self.toll.executors}")

    async def _kill_servers(self) -> None:
        between = self.toll.executors / max(1, self.toll.servers)
        for number in range(self.toll.servers):
            await self._after(between * number)
            seat = await self._any_server()
            self.fleet.kill_server(seat)
            self.said(f"killed control plane {number + 1} of {self.toll.servers}")
            await asyncio.sleep(self.chance.uniform(0, 0.5))
            self.fleet.start_server(seat)

    async def _repeat(self, times: int, deal: Callable[[], Awaitable[None]]) -> None:
        """Deals one blow as often as is wanted, spread over the kills of executors."""
        for number in range(times):
            await self._after(self.toll.executors / times * number)
            await deal()

    async def _make_zombie(self) -> None:
        frozen = await self._anybody()
        self.fleet.freeze(frozen)
        await asyncio.sleep(LEASE_SECONDS * self.chance.uniform(1.1, 2.2))
        self.fleet.thaw(frozen)
        self.dealt["zombies"] += 1

    async def _stall_server(self) -> None:
        frozen = self.fleet.freeze_server(await self._any_server())
        await asyncio.sleep(LEASE_SECONDS * self.chance.uniform(0.5, 1.6))
        self.fleet.thaw(frozen)
        self.dealt["stalls"] += 1

    async def _cut(self) -> None:
        await self._any_server()
        door = self.chance.choice(self.place.doors)
        if self.chance.random() < 0.5:
            self.dealt["connections_cut"] += door.cut()
        else:
            await door.hold_up(LEASE_SECONDS * self.chance.uniform(0.1, 1.2))
            self.dealt["networks_held_up"] += 1

    async def _kill_database(self) -> None:
        await self._any_server()
        if self.dealt["database_kills"] % 3 == 0:
            await self.place.fail_over()
            self.dealt["failovers"] += 1
        else:
            await self.place.kill_database()
        self.dealt["database_kills"] += 1
        self.said(f"killed the database {self.dealt['database_kills']} of {self.toll.databases}")

    async def _dismiss(self) -> None:
        self.fleet.dismiss(await self._anybody())
        self.fleet.fill()
        self.dealt["dismissals"] += 1

    async def _anybody(self) -> Program:
        """An executor that works, once another one does too. Whoever is frozen lives to find that its lease is gone."""
        await self._until(lambda: len(self.fleet.awake()) > 1)
        return self.chance.choice(self.fleet.awake())

    async def _any_server(self) -> Seat:
        """A control plane that serves."""
        await self._until(lambda: bool(self.fleet.serving()))
        return self.chance.choice(self.fleet.serving())

    async def _until(self, wanted: Callable[[], bool]) -> None:
        self.fleet.fill()
        while not wanted():
            await asyncio.sleep(0.05)
            self.fleet.fill()

    async def _after(self, kills: float) -> None:
        """Returns at some moment after so many executors were killed."""
        await self._until(lambda: len(self.fleet.executor_kills) >= kills)
        await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(self.toll.pause * self.chance.uniform(0.4, 1.6))

    async def _at_guarded_work(self) -> Program | None:
        """An executor at which a guarded command has just begun; None where there was none for a while."""
        self._launches()
        deadline = asyncio.get_running_loop().time() + SEARCH_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            for run_id in reversed(self._launches()):
                holder = await self._holder(run_id)
                if holder is not None:
                    return holder
            await asyncio.sleep(0.02)
        return None

    def _launches(self) -> list[str]:
        """The runs that have written into the ledger since the last look."""
        with self.ledger.open("rb") as ledger:
            ledger.seek(self._read)
            fresh = ledger.read()
        whole, _, _ = fresh.rpartition(b"\n")
        self._read += len(whole) + bool(whole)
        return [json.loads(line)["run"] for line in whole.splitlines()]

    async def _holder(self, run_id: str) -> Program | None:
        try:
            run = await self.client.runs.GetRun(runs_pb2.GetRunRequest(name=f"runs/{run_id}"), timeout=0.5)
        except CallFailed as failure:
            self.said(f"nobody says who holds {run_id}: {failure.code.name}")
            return None
        return next((one for one in self.fleet.awake() if one.name == run.lease.executor_id), None)
