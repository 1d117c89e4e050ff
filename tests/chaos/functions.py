"""Functions that executors are started with: some wait, some compute in a thread, some fail now and then."""

import asyncio
import random
import time
from typing import Any


class Unlucky(Exception):
    """A failure that another attempt may not meet."""


async def wait(call: Any) -> dict[str, Any]:
    """Takes as many seconds as it is told to."""
    await asyncio.sleep(call.inputs["seconds"])
    return {"waited": call.inputs["seconds"], "attempt": call.attempt}


def compute(call: Any) -> dict[str, Any]:
    """Takes a moment, in a thread."""
    time.sleep(0.05)
    return {"key": call.idempotency_key}


async def try_luck(call: Any) -> dict[str, Any]:
    """Fails with a chance that it is given."""
    await asyncio.sleep(0.02)
    if random.random() < call.inputs["chance"]:
        call.log("no luck")
        raise Unlucky(f"attempt {call.attempt}")
    return {"lucky": True}


FUNCTIONS = {"wait": wait, "compute": compute, "try_luck": try_luck}
