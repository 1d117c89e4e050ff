"""Plain functions: each call has a thread, and nobody can end a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Threads:
    """Runs plain functions, and knows which have not come back, whoever has stopped waiting for them."""

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="function")
        self._running = 0

    @property
    def running(self) -> int:
        """Calls that have not come back."""
        return self._running

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function in a thread. Cancelling this stops the waiting, not the function."""
        self._running += 1
        future = self._pool.submit(function, *arguments)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._came_back))
        return await asyncio.wrap_future(future)

    def _came_back(self) -> None:
        self._running -= 1

    def close(self) -> None:
        """Lets no further call begin."""
        self._pool.shutdown(wait=False, cancel_futures=True)
