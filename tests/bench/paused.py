"""Many runs that wait for a decision: what they cost the control plane, and how long it takes to list and to wake them."""

import pathlib
import time
from dataclasses import dataclass

from perdure.v1 import run_states_pb2, runs_pb2
from tests.bench.figures import Figure
from tests.bench.flows import approve, at_once, gated, open_approvals, publish, start_many, until_none_is
from tests.bench.target import Stores, Target, target

SLOTS = 200
PAGE = 1000


@dataclass(frozen=True)
class Paused:
    """So many runs, each paused at a gate."""

    runs: int
    name: str = "paused"

    async def measure(self, store: str, stores: Stores, directory: pathlib.Path) -> list[Figure]:
        """One round."""
        async with target(store, stores, directory / "data") as served:
            asked = await publish(served.perdure, gated("nodes"))
            await start_many(served.perdure, asked, self.runs)
            async with served.executor(SLOTS):
                await until_none_is(served.perdure, "QUEUED", "RUNNING")
                memory = served.memory()
                listed = await _list_all(served)
                begun = time.monotonic()
                names = [approval.name for approval in await open_approvals(served.perdure)]
                await at_once([approve(served.perdure, name) for name in names])
                await until_none_is(served.perdure, "QUEUED", "RUNNING", "PAUSED")
                woken = time.monotonic() - begun
        figures = {"runs": (self.runs, "runs"), "memory": (memory, "MiB"), "to list all": (1000 * listed, "ms")}
        figures["to wake all"] = (woken, "s")
        return [Figure(store, self.name, name, value, unit) for name, (value, unit) in figures.items()]


async def _list_all(served: Target) -> float:
    begun = time.monotonic()
    request = runs_pb2.ListRunsRequest(states=[run_states_pb2.RUN_STATE_PAUSED], page_size=PAGE)
    while True:
        page = await served.perdure.runs.ListRuns(request)
        if not page.next_page_token:
            return time.monotonic() - begun
        request.page_token = page.next_page_token
