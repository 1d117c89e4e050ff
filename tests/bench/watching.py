"""Events a second to those who watch: each has a connection of its own and follows every run from its first event."""

import asyncio
import pathlib
import time
from dataclasses import dataclass

from perdure.client import Client
from perdure.v1 import flows_pb2
from tests.bench.figures import Figure
from tests.bench.flows import events, line, publish, start_many
from tests.bench.target import Stores, target

NODES = 100


@dataclass(frozen=True)
class Watching:
    """So many watchers of so many runs of a hundred nodes."""

    watchers: int
    runs: int

    @property
    def name(self) -> str:
        """The case as it is asked for."""
        return f"watch-{self.watchers}"

    async def measure(self, store: str, stores: Stores, directory: pathlib.Path) -> list[Figure]:
        """One round."""
        async with target(store, stores, directory / "data") as served:
            asked = await publish(served.perdure, line("nodes", "none", NODES))
            flows = await start_many(served.perdure, asked, self.runs)
            watching = [asyncio.create_task(_watch(served.address, flows)) for _ in range(self.watchers)]
            async with served.executor(self.runs):
                seen = await asyncio.gather(*watching)
        seconds = max(last for _, _, last in seen) - min(first for _, first, _ in seen)
        return [Figure(store, self.name, "events to watchers", sum(n for n, _, _ in seen) / seconds, "events/s")]


async def _watch(address: str, flows: list[flows_pb2.Flow]) -> tuple[int, float, float]:
    """How many events came, when the first node's start came, and when the last event did."""
    count, first = 0, 0.0

    async def follow(flow: flows_pb2.Flow) -> None:
        nonlocal count, first
        async for event in events(perdure, flow):
            if event.event.HasField("node_started") and not first:
                first = time.monotonic()
            count += bool(first)

    async with Client(address) as perdure, asyncio.TaskGroup() as follows:
        for flow in flows:
            follows.create_task(follow(flow))
    return count, first, time.monotonic()
