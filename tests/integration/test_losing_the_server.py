"""An executor that no server answers ends its work by itself, before anybody else may begin it."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

PLAYBOOK = """
playbook_id: endless
version: 1.0.0
title: Work without an end
objective: Go on until stopped
nodes:
  - {id: work, type: function, function: work, effect: EFFECT}
"""


@pytest.mark.parametrize("effect", ["none", "at_most_once"])
async def test_what_runs_is_ended_when_the_lease_and_its_allowance_are_over(serve: Any, hire: Any, effect: str) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work(call: Any) -> dict[str, Any]:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return {}

    async with AsyncExitStack() as life:
        service = await serve(life, lease_seconds=1.5, heartbeat_seconds=0.4, stall_allowance_seconds=0.5)
        await hire(service, {"work": work})
        await service.start(PLAYBOOK.replace("EFFECT", effect))
        await began.wait()

    await ended.wait()
