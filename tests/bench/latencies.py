"""How long something takes that somebody waits for: from a start to the first node, from a decision to the next, and from
the loss of an executor to the work of another."""

import asyncio
import pathlib
import time
from dataclasses import dataclass
from typing import Final

from perdure.v1 import flows_pb2
from tests.bench.figures import Figure, quantiles
from tests.bench.flows import approve, events, gated, line, publish, stamp_of, start, start_many
from tests.bench.functions import WAITS
from tests.bench.target import Stores, Target, target

LEASE_SECONDS: Final = 3
"""Lease of the executors that are lost."""


@dataclass(frozen=True)
class Latency:
    """A way to measure one of them, `times` times."""

    name: str
    times: int

    async def measure(self, store: str, stores: Stores, directory: pathlib.Path) -> list[Figure]:
        """One round."""
        measure, flags = _WAYS[self.name]
        async with target(store, stores, directory / "data", *flags) as served:
            found = quantiles(await measure(served, self.times))
        return [Figure(store, self.name, name, value, "ms") for name, value in found.items()]


async def _starts(served: Target, times: int) -> list[float]:
    async with served.executor(4):
        flows = await publish(served.perdure, line("stamp", "none", 1))
        await stamp_of(served.perdure, await start(served.perdure, flows, "warm"))
        seconds = []
        for number in range(times):
            asked = time.monotonic()
            seconds.append(await stamp_of(served.perdure, await start(served.perdure, flows, f"flow-{number}")) - asked)
        return seconds


async def _decisions(served: Target, times: int) -> list[float]:
    async with served.executor(4):
        flows = await publish(served.perdure, gated("stamp"))
        return [await _decision(served, flows, number) for number in range(times)]


async def _decision(served: Target, flows: flows_pb2.StartFlowRequest, number: int) -> float:
    flow = await start(served.perdure, flows, f"flow-{number}")
    approval = ""
    async for event in events(served.perdure, flow):
        if event.event.HasField("wait_opened"):
            approval = f"approvals/{event.event.wait_opened.approval.approval_id}"
        if event.event.HasField("run_paused"):
            break
    asked = time.monotonic()
    await approve(served.perdure, approval)
    return await stamp_of(served.perdure, flow) - asked


async def _takeovers(served: Target, times: int) -> list[float]:
    flows = await publish(served.perdure, line("stamp_or_wait", "none", 1))
    async with served.executor(times, **{WAITS: "1"}) as lost:
        started = await start_many(served.perdure, flows, times)
        await asyncio.gather(*(_begun(served, flow) for flow in started))
        async with served.executor(times):
            begun = time.monotonic()
            lost.kill()
            stamps = await asyncio.gather(*(stamp_of(served.perdure, flow) for flow in started))
    return [stamp - begun for stamp in stamps]


async def _begun(served: Target, flow: flows_pb2.Flow) -> None:
    async for event in events(served.perdure, flow):
        if event.event.HasField("node_started"):
            return


_SHORT: Final = ("--lease-seconds", str(LEASE_SECONDS), "--heartbeat-seconds", "1")
_WAYS: Final = {"start": (_starts, ()), "decision": (_decisions, ()), "takeover": (_takeovers, _SHORT)}
