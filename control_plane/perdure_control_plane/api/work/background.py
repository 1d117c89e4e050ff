"""Work that a stream does beside reading and writing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

import structlog

from perdure_control_plane.domain.errors import StoreUnavailable

log = structlog.get_logger(__name__)


class Background:
    """Tasks that end with the stream they belong to."""

    def __init__(self, end_stream: Callable[[], None]) -> None:
        self._tasks: Final[dict[asyncio.Task[None], None]] = {}
        self._end_stream = end_stream

    def spawn(self, work: Coroutine[None, None, object]) -> None:
        """Begins a piece of work. Should it fail, that is logged, and the executor repeats what was not answered."""
        self._begin(work, lambda: None)

    def spawn_owed(self, work: Coroutine[None, None, object]) -> None:
        """Begins what the executor waits for and does not ask for again while the stream lasts: should it fail, the
        stream ends, and the executor asks on the next one."""
        self._begin(work, self._end_stream)

    def _begin(self, work: Coroutine[None, None, object], failed: Callable[[], None]) -> None:
        task = asyncio.create_task(_logged(work, failed))
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        task.add_done_callback(lambda _: work.close())  # where it is ended before it has begun

    async def end(self) -> None:
        """Ends what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _logged(work: Coroutine[None, None, object], failed: Callable[[], None]) -> None:
    try:
        await work
    except StoreUnavailable as error:  # the store's own lines say why
        log.info("work.postponed", reason=str(error))
        failed()
    except Exception:  # whoever began it says what follows
        log.exception("work.failed")
        failed()
