"""What the measured nodes do: nothing, so that what is left is the price of doing it durably; or tell the time."""

import asyncio
import os
import time

from perdure_executor.node_context import Call

WAITS = "PERDURE_BENCH_WAITS"
"""Set for executors whose `stamp_or_wait` never ends."""


async def nothing(call: Call) -> None:
    pass


async def output(call: Call) -> dict[str, bool]:
    return {"done": True}


async def stamp(call: Call) -> dict[str, int]:
    return {"at": time.monotonic_ns()}


async def stamp_or_wait(call: Call) -> dict[str, int]:
    if WAITS in os.environ:
        await asyncio.Event().wait()
    return {"at": time.monotonic_ns()}


FUNCTIONS = {"nodes": nothing, "nodes_with_output": output, "stamp": stamp, "stamp_or_wait": stamp_or_wait}
