"""The first call of a command that follows: a server that has just been started is waited for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

import grpc
import typer

from perdure.client import CallFailed

Answer = TypeVar("Answer")

PATIENCE: Final = timedelta(seconds=15)
"""A server is there a few seconds after it was started."""

PAUSE_SECONDS: Final = 0.2


async def first_answer(call: Callable[[], Awaitable[Answer]], patience: timedelta = PATIENCE) -> Answer:
    """What a call answers, made again for a while where no server does; of that people are told once.

    Raises CallFailed.
    """
    until = time.monotonic() + patience.total_seconds()
    told = False
    while True:
        try:
            return await call()
        except CallFailed as failure:
            if failure.code is not grpc.StatusCode.UNAVAILABLE or time.monotonic() >= until:
                raise
        if not told:
            typer.echo(f"no server answers yet; trying again for {patience.total_seconds():g} s", err=True)
            told = True
        await asyncio.sleep(PAUSE_SECONDS)
