"""Work beside a stream, and its end with the stream."""

import asyncio
import inspect

from perdure_control_plane.api.work.background import Background


async def test_work_that_is_ended_before_it_has_begun_leaves_nothing_behind() -> None:
    background = Background(lambda: None)
    work = asyncio.sleep(60)

    background.spawn(work)
    await background.end()

    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


async def test_work_that_is_ended_in_the_middle_is_cancelled() -> None:
    background, began = Background(lambda: None), asyncio.Event()
    cancelled = asyncio.Event()

    async def lasts() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    background.spawn_owed(lasts())
    await began.wait()
    await background.end()

    assert cancelled.is_set()
