"""An executor that no server answers ends its work by itself, before anybody else may begin it."""

import asyncio
import pathlib
from contextlib import AsyncExitStack
from typing import Any

import pytest

from perdure_executor.work_end import THREADS_LEFT_EXIT_CODE

LOOK_SECONDS = 0.02

PLAYBOOK = """
playbook_id: endless
version: 1.0.0
title: Work without an end
objective: Go on until stopped
nodes:
  - {id: work, type: function, function: work, effect: EFFECT}
"""

PLAIN = """
import threading

def work(call):
    call.log("begun")
    threading.Event().wait()

FUNCTIONS = {"work": work}
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


async def test_a_plain_function_is_ended_then_with_its_process_for_nothing_else_ends_it(
    serve: Any, employ: Any, tmp_path: pathlib.Path
) -> None:
    module = tmp_path / "plain.py"
    module.write_text(PLAIN)
    async with AsyncExitStack() as life:
        service = await serve(life, lease_seconds=1.5, heartbeat_seconds=0.4, stall_allowance_seconds=0.5)
        executor = employ(service, "alone", "--functions", str(module))
        flow = await service.start(PLAYBOOK.replace("EFFECT", "at_most_once"))
        await service.until(flow, lambda recorded: recorded.event.log_line.text == "begun")

    assert await asyncio.to_thread(executor.process.wait) == THREADS_LEFT_EXIT_CODE


async def test_that_the_work_end_has_passed_is_logged_once(serve: Any, employ: Any, lasting: str) -> None:
    def logged(event: str) -> int:
        return [line["event"] for line in executor.log_lines()].count(event)

    async with AsyncExitStack() as life:
        service = await serve(life, lease_seconds=1.0, heartbeat_seconds=0.3, stall_allowance_seconds=0.2)
        executor = employ(service, "alone")
        flow = await service.start(lasting)
        await service.until(flow, lambda recorded: recorded.event.HasField("task_output"))
    while not logged("lease.work_end_passed"):  # noqa: ASYNC110  # nobody is told of what an executor logs
        await asyncio.sleep(LOOK_SECONDS)
    tries = logged("stream.lost")
    while logged("stream.lost") < tries + 2:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_SECONDS)

    assert logged("lease.work_end_passed") == 1
