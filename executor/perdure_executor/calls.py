"""Calls of functions: whoever waits for one waits for its end, for nobody can end a thread."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class NeverCalled(Exception):
    """It was to end before a thread was free for it: nothing of it has happened."""


class Calls:
    """Calls functions, plain ones in threads, and knows which have not come back."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._running = 0
        self._in_threads = 0

    @property
    def running(self) -> int:
        """Calls that have not come back."""
        return self._running

    @property
    def in_threads(self) -> int:
        """Calls of plain functions that have not come back; no stop reaches them."""
        return self._in_threads

    async def follow(self, called: Awaitable[Any]) -> Any:
        """Awaits what a coroutine function returned. Cancelling this cancels that, and returns when it has ended."""
        self._running += 1
        try:
            return await called
        finally:
            self._running -= 1

    async def in_thread(self, asked_to_end: Callable[[], None], function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a plain function in a thread, and returns what it returned, or raises what it raised, be it the end of an
        iterator, as a RuntimeError.

        Cancelling this cannot end the function, so it only says so to `asked_to_end` and waits on: whoever is told of an
        end must be able to rely on it. Raises NeverCalled where it was cancelled before the call had begun.
        """
        self._running += 1
        self._in_threads += 1
        try:
            called = self._pool.submit(_outcome, function, arguments)
            returned = asyncio.wrap_future(called)
            while not returned.done():
                try:
                    await asyncio.wait([returned])
                except asyncio.CancelledError:
                    if called.cancel():
                        raise NeverCalled from None
                    asked_to_end()
            outcome, error = returned.result()
            if error is not None:
                raise error
            return outcome
        finally:
            self._running -= 1
            self._in_threads -= 1

    def close(self) -> None:
        """Lets no further call begin."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    """What a function returned, and what it raised. Futures take some of that for their own, and leave some behind."""
    try:
        return function(*arguments), None
    except StopIteration as error:  # no coroutine can raise it on
        return None, RuntimeError("the function raised StopIteration").with_traceback(error.__traceback__)
    except BaseException as error:  # noqa: BLE001  # whoever called has it
        return None, error
