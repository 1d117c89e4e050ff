"""Waiting that ends, and that can be ended at any moment."""

import asyncio

import pytest

from perdure_control_plane.api.work.waiting import wait_for


async def test_a_wait_ends_with_its_event_or_its_time() -> None:
    wake = asyncio.Event()

    await wait_for(wake, 0.001)
    wake.set()
    await wait_for(wake, 60)


@pytest.mark.parametrize("turns", range(6))
async def test_whoever_is_cancelled_while_the_event_comes_is_told_so(turns: int) -> None:
    wake = asyncio.Event()
    waiting = asyncio.create_task(wait_for(wake, 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    wake.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    cancelled = waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled() is cancelled
