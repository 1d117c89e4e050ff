"""What tests of the client are given: a server of real gRPC whose answers a test writes down."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from perdure.client import Client
from perdure.v1 import approvals_pb2_grpc, flows_pb2_grpc, runs_pb2_grpc, sessions_pb2_grpc

Answer = Callable[[Any, Any], Any]


def refusal(code: grpc.StatusCode, reason: str, *more: Message, **metadata: str) -> Any:
    """A status as a control plane sends it."""
    details = [error_details_pb2.ErrorInfo(reason=reason, domain="perdure", metadata=metadata), *more]
    packed = [AnyMessage() for _ in details]
    for one, detail in zip(packed, details, strict=True):
        one.Pack(detail)
    return rpc_status.to_status(status_pb2.Status(code=code.value[0], message="it says no", details=packed))


@dataclass
class Played:
    """A server whose answers are a list for each method; each call takes the next and is written down."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    port: int = 0
    server: Any = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        sessions_pb2_grpc.add_SessionServiceServicer_to_server(_Sessions(self), self.server)
        runs_pb2_grpc.add_RunServiceServicer_to_server(_Runs(self), self.server)
        flows_pb2_grpc.add_FlowServiceServicer_to_server(_Flows(self), self.server)
        approvals_pb2_grpc.add_ApprovalServiceServicer_to_server(_Approvals(self), self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop(None)

    def next(self, method: str, request: Any) -> Answer:
        self.asked.append(request)
        return self.answers[method].pop(0)


class _Sessions(sessions_pb2_grpc.SessionServiceServicer):
    def __init__(self, played: Played) -> None:
        self._played = played

    async def CreateSession(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        return await self._played.next("CreateSession", request)(request, context)

    async def ListSessions(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        return await self._played.next("ListSessions", request)(request, context)


class _Runs(runs_pb2_grpc.RunServiceServicer):
    def __init__(self, played: Played) -> None:
        self._played = played

    async def WatchRun(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        async for item in self._played.next("WatchRun", request)(request, context):
            yield item


class _Flows(flows_pb2_grpc.FlowServiceServicer):
    def __init__(self, played: Played) -> None:
        self._played = played

    async def WatchFlow(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        async for item in self._played.next("WatchFlow", request)(request, context):
            yield item


class _Approvals(approvals_pb2_grpc.ApprovalServiceServicer):
    def __init__(self, played: Played) -> None:
        self._played = played

    async def WatchApprovals(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        async for item in self._played.next("WatchApprovals", request)(request, context):
            yield item


@pytest.fixture
async def played() -> AsyncIterator[Played]:
    server = Played()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def connect(played: Played) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Makes a client of the played server, with short times."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Client:
            settings.setdefault("patience", timedelta(seconds=20))
            return await stack.enter_async_context(Client(played.address, **settings))

        yield make
    await asyncio.sleep(0)
