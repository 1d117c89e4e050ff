"""Work that a stream does beside reading and writing."""

import asyncio
from collections.abc import Coroutine
from typing import Final

import structlog

log = structlog.get_logger(__name__)


class Background:
    """Tasks that end with the stream they belong to."""

    def __init__(self) -> None:
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    def spawn(self, work: Coroutine[None, None, object]) -> None:
        """Begins a piece of work. Should it fail, that is logged, and the executor repeats what was not answered."""
        task = asyncio.create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Ends what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _logged(work: Coroutine[None, None, object]) -> None:
    try:
        await work
    except Exception:  # the stream goes on; the executor repeats what was not answered
        log.exception("work.failed")
