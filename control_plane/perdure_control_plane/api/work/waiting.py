"""Waiting that ends."""

import asyncio
import random

from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.domain.limits import SECOND


async def wait_for(wake: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set, or after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return


async def old_or_leaving(desk: Desk) -> None:
    """Returns when a stream that begins now is old, so that new servers get their share, or when the server is to end."""
    wake = asyncio.Event()
    end = desk.changes.await_work(wake)
    clock = asyncio.get_running_loop().time
    old_at = clock() + desk.timing.stream_age / SECOND * random.uniform(0.7, 1.3)  # noqa: S311  # jitter, not a secret
    try:
        while not desk.changes.draining and clock() < old_at:
            wake.clear()
            await wait_for(wake, old_at - clock())
    finally:
        end()
