"""A call of a function is waited for until it has ended, whoever does not want its outcome any more."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from perdure_executor.calls import Calls, NeverCalled


class Task:
    """A function that begins, and ends when it is let."""

    def __init__(self) -> None:
        self.begun, self.may_end, self.ended = threading.Event(), threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        self.may_end.wait()
        self.ended.set()
        return "done"


@pytest.fixture
def task() -> Iterator[Task]:
    task = Task()
    yield task
    task.may_end.set()


async def test_a_call_that_is_to_end_is_waited_for_and_comes_to_what_it_comes_to(task: Task) -> None:
    calls, asked = Calls(1), asyncio.Event()
    call = asyncio.create_task(calls.in_thread(asked.set, task))
    await asyncio.to_thread(task.begun.wait)

    call.cancel()
    await asked.wait()
    still = call.done(), calls.running, calls.in_threads
    task.may_end.set()

    assert still == (False, 1, 1)
    assert await call == "done"
    assert (calls.running, calls.in_threads) == (0, 0)


async def test_a_call_that_has_not_begun_when_it_is_to_end_never_begins(task: Task) -> None:
    calls, second = Calls(1), Task()
    first = asyncio.create_task(calls.in_thread(_nobody, task))
    await asyncio.to_thread(task.begun.wait)
    waiting = asyncio.create_task(calls.in_thread(_nobody, second))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(NeverCalled):
        await waiting
    task.may_end.set()

    assert await first == "done"
    assert not second.begun.is_set()


async def test_a_coroutine_is_a_call_until_it_has_ended() -> None:
    calls, begun, may_end = Calls(1), asyncio.Event(), asyncio.Event()

    async def reluctant() -> Any:
        begun.set()
        try:
            await asyncio.Future()
        finally:
            await may_end.wait()

    call = asyncio.create_task(calls.follow(reluctant()))
    await begun.wait()
    call.cancel()
    await asyncio.sleep(0)
    still = calls.running, calls.in_threads
    may_end.set()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert (still, calls.running) == ((1, 0), 0)


def _nobody() -> None:
    pass
