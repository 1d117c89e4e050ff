"""Nodes and completed runs a second: queue runs, let an executor loose on them, and read from the log how fast it grew.

In mode `strict` a node begins after its predecessor's end and its own start are committed and acknowledged (effect
`at_most_once`); in mode `pipelined` the executor runs ahead inside the run it holds (effect `none`).
"""

import asyncio
import pathlib
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from perdure.runlog.kinds import KIND_NUMBERS
from tests.bench.ceiling import fastest_inserts
from tests.bench.figures import Figure
from tests.bench.flows import NODES, line, publish, start_many, until_none_is
from tests.bench.target import Stores, Target, cpu_seconds, target

EFFECTS: Final = {"strict": "at_most_once", "pipelined": "none"}
EVENTS: Final = {"nodes": 2, "nodes_with_output": 3}
"""Events of a node, for each function."""
MANY: Final = 100
"""Runs in flight from which on two executors share them."""
RAMP: Final = 0.1
"""Part of the nodes at either end that is not counted: runs come and go there, fewer than asked for at once."""


@dataclass(frozen=True)
class Throughput:
    """`runs` runs of ten nodes that call a function, `inflight` of them at a time."""

    mode: str
    inflight: int
    runs: int
    function: str = "nodes"

    @property
    def executors(self) -> int:
        """How many share the runs: with many in flight, what one process can do is less than a control plane takes."""
        return 1 if self.inflight < MANY else 2

    @property
    def name(self) -> str:
        """The case as it is asked for."""
        output = "" if self.function == "nodes" else "output-"
        return f"{self.mode}-{output}{self.inflight}"

    async def measure(self, store: str, stores: Stores, directory: pathlib.Path) -> list[Figure]:
        """One round. Its ceiling is taken just before, so that both meet the same machine."""
        events = EVENTS[self.function]
        ceiling = await fastest_inserts(store, stores, directory, events * self.inflight) / events
        async with target(store, stores, directory / "data") as served:
            rows, cores = await self._work(served)
        nodes = _rate(rows["node_settled"])
        runs = nodes / NODES
        print(f"  {nodes:,.0f} nodes/s; processor {cores}; ceiling {ceiling:,.0f}", file=sys.stderr)
        return [
            Figure(store, self.name, "nodes", nodes, "nodes/s", ceiling, nodes / ceiling),
            Figure(store, self.name, "completed runs", runs, "runs/s", ceiling / NODES, nodes / ceiling),
        ]

    async def _work(self, served: Target) -> tuple[dict[str, list[int]], str]:
        flows = await publish(served.perdure, line(self.function, EFFECTS[self.mode]))
        await start_many(served.perdure, flows, self.runs)
        before, loop = cpu_seconds(served.server), asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            slots = self.inflight // self.executors
            executors = [await stack.enter_async_context(served.executor(slots)) for _ in range(self.executors)]
            begun = loop.time()
            await until_none_is(served.perdure, "QUEUED", "RUNNING", "PAUSED")
            seconds = loop.time() - begun
            server, worker = cpu_seconds(served.server) - before, sum(map(cpu_seconds, executors))
        times = {kind: await _times(served, kind) for kind in ("node_settled", "run_ended")}
        if (len(times["node_settled"]), len(times["run_ended"])) != (self.runs * NODES, self.runs):
            raise SystemExit(f"{self.name}: not every run was completed")
        return times, f"{server / seconds:.2f} control plane, {worker / seconds:.2f} executors ({self.executors})"


async def _times(served: Target, kind: str) -> list[int]:
    query = f"SELECT stored_at FROM run_events WHERE kind = {KIND_NUMBERS[kind]} ORDER BY stored_at"  # a number
    found: list[Any] = await served.rows(query)
    return [row[0] for row in found]


def _rate(times: list[int]) -> float:
    first, last = int(len(times) * RAMP), int(len(times) * (1 - RAMP)) - 1
    seconds = max(times[last] - times[first], 1) / 1e6
    return (last - first) / seconds
