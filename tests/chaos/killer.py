"""What is killed, frozen and started again, and when."""

import asyncio
import json
import pathlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from perdure.client import CallFailed, Client
from perdure.v1 import runs_pb2
from tests.chaos.fleet import LEASE_SECONDS, Fleet, Program

SEARCH_SECONDS: Final = 1.5
"""How long a kill that is meant for guarded work waits for such work to begin."""


@dataclass(frozen=True, slots=True)
class Toll:
    """How much is to be suffered, and the mean pause between two kills of one kind, in seconds."""

    executors: int
    servers: int
    zombies: int
    pause: float


@dataclass(slots=True)
class Killer:
    """Ends programs at random moments; every other executor dies inside guarded work."""

    client: Client
    fleet: Fleet
    ledger: pathlib.Path
    chance: random.Random
    toll: Toll
    said: Callable[[str], None]
    zombies: int = 0
    _read: int = 0

    async def run(self) -> None:
        """Returns when the whole toll is taken."""
        await asyncio.gather(self._kill_executors(), self._kill_servers(), self._make_zombies())

    async def _kill_executors(self) -> None:
        for number in range(self.toll.executors):
            await self._pause(1)
            victim = await self._at_guarded_work() if number % 2 else None
            self.fleet.look()
            self.fleet.kill(victim or self.chance.choice(self._awake()))
            self.fleet.fill()
            self.said(f"killed executor {number + 1} of {self.toll.executors}")

    async def _kill_servers(self) -> None:
        between = self.toll.executors / max(1, self.toll.servers)
        for number in range(self.toll.servers):
            await self._pause(between)
            self.fleet.kill_server()
            self.said(f"killed control plane {number + 1} of {self.toll.servers}")
            await asyncio.sleep(self.chance.uniform(0, 0.5))
            self.fleet.start_server()

    async def _make_zombies(self) -> None:
        between = self.toll.executors / max(1, self.toll.zombies)
        for _ in range(self.toll.zombies):
            await self._pause(between - LEASE_SECONDS / self.toll.pause)
            frozen = self.chance.choice(self._awake())
            self.fleet.freeze(frozen)
            await asyncio.sleep(LEASE_SECONDS * self.chance.uniform(1.1, 2.2))
            self.fleet.thaw(frozen)
            self.zombies += 1

    def _awake(self) -> list[Program]:
        """Executors that are not frozen; who is, lives to wake up and find that its lease is gone."""
        return [program for program in self.fleet.executors if program.name not in self.fleet.frozen]

    async def _pause(self, kills: float) -> None:
        """Lets about as much time pass as so many kills take."""
        await asyncio.sleep(max(0.1, kills * self.toll.pause * self.chance.uniform(0.4, 1.6)))

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
        return next((one for one in self._awake() if one.name == run.lease.executor_id), None)
