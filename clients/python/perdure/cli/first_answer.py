"""The first call of a command that follows: a server that has just been started is waited for."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

import grpc
import typer

from perdure.cli.printing.words import printable
from perdure.client import CallFailed

Answer = TypeVar("Answer")

PATIENCE: Final = timedelta(seconds=15)
"""A server is there a few seconds after it was started."""

PAUSE_SECONDS: Final = 0.2


async def first_answer(
    call: Callable[[], Awaitable[Answer]],
    patience: timedelta = PATIENCE,
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Answer:
    """What a call answers, made again for a while where no server does, or one that can do nothing now.

    People are told once of each. Raises CallFailed.
    """
    until = time.monotonic() + patience.total_seconds()
    told = set[str]()
    while True:
        try:
            return await call()
        except CallFailed as failure:
            left = until - time.monotonic()
            if failure.code is not grpc.StatusCode.UNAVAILABLE or left <= 0:
                raise
            why = failure.message if failure.reason else "no server answers yet"
        if why not in told:
            typer.echo(f"{printable(why)}; trying again for {math.ceil(left)} s", err=True)
            told.add(why)
        await pause(PAUSE_SECONDS)
