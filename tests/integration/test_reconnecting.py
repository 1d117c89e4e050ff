"""An executor whose streams break comes back, and soon, as long as there is a server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio
import pytest

from perdure.v1 import execution_pb2, execution_pb2_grpc
from perdure_executor import worker as worker_module
from perdure_executor.worker import RECONNECT_SECONDS
from perdure_services.executor import executor
from perdure_services.settings import load_executor

BREAKS = 8


class Breaking(execution_pb2_grpc.ExecutionServiceServicer):
    """A server that welcomes an executor and breaks the stream off."""

    def __init__(self) -> None:
        self.streams = 0
        self.enough = asyncio.Event()

    async def Work(self, requests: AsyncIterator[execution_pb2.WorkRequest], context: Any) -> Any:  # noqa: N802
        await anext(requests)
        self.streams += 1
        welcome = execution_pb2.Welcome(server_id="s", generation=1, protocol=1, max_payload_bytes=1 << 20)
        welcome.lease.FromSeconds(30)
        welcome.heartbeat_interval.FromSeconds(10)
        yield execution_pb2.WorkResponse(welcome=welcome)
        if self.streams > BREAKS:
            self.enough.set()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "broken off")


class Said:
    """Takes what a module logs."""

    def __init__(self) -> None:
        self.lost: list[float] = []

    def info(self, event: str, **fields: Any) -> None:
        assert event == "stream.opened"

    def warning(self, event: str, **fields: Any) -> None:
        assert event == "stream.lost"
        self.lost.append(fields["again_in_seconds"])


async def test_streams_that_break_off_are_opened_again_after_a_pause_that_does_not_grow(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, breaking = Said(), Breaking()
    monkeypatch.setattr(worker_module, "log", said)
    server = grpc.aio.server()
    execution_pb2_grpc.add_ExecutionServiceServicer_to_server(breaking, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    worker = await stack.enter_async_context(executor(load_executor(None, {"server": f"127.0.0.1:{port}"}), {}))
    working = asyncio.create_task(worker.run())
    stack.callback(working.cancel)

    enough = asyncio.create_task(breaking.enough.wait())
    await asyncio.wait({enough, working}, return_when=asyncio.FIRST_COMPLETED)

    assert not working.done()
    assert len(said.lost) >= BREAKS
    assert max(said.lost) <= RECONNECT_SECONDS[0]


WAITING = """
playbook_id: waiting
version: 1.0.0
title: Waiting
objective: Work until it is stopped
nodes:
  - {id: work, type: function, function: work, effect: none}
"""


async def test_an_executor_that_is_asked_to_leave_ends_its_work_and_itself_though_no_server_answers(
    serve: Any, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "GOODBYE_SECONDS", 0.2)
    working, stopped = asyncio.Event(), asyncio.Event()

    async def work(call: Any) -> None:
        working.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    servers = await stack.enter_async_context(AsyncExitStack())
    service = await serve(stack=servers)
    settings = load_executor(None, {"server": service.address, "drain_seconds": 0.1})
    worker = await stack.enter_async_context(executor(settings, {"work": work}))
    running = asyncio.create_task(worker.run())
    await service.start(WAITING)
    await working.wait()
    await servers.aclose()

    await worker.drain()
    await running

    assert stopped.is_set()
