"""What a server says of itself: its health, its schema where that is wanted, and what it is."""

from collections.abc import Awaitable
from importlib.metadata import version
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from perdure.v1 import plans_pb2, server_pb2
from perdure_control_plane.api.mount import SERVICES


async def described(channel: grpc.aio.Channel) -> set[str]:
    """Names of the services that a server describes to tools."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in stub.ServerReflectionInfo(iter([asked])):
        return {service.name for service in answer.list_services_response.service}
    raise AssertionError("the server answered nothing")


async def healthy(service: Any, of: str) -> bool:
    stub: Any = health_pb2_grpc.HealthStub(service.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=of))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def code_of(call: Awaitable[Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_a_server_that_has_just_started_is_healthy_and_has_no_executor(serve: Any) -> None:
    service = await serve()

    found = {of: await healthy(service, of) for of in ("", "store", "journal", "queue", "executors")}

    assert found == {"": True, "store": True, "journal": True, "queue": True, "executors": False}


async def test_the_health_of_something_unknown_is_not_found(serve: Any) -> None:
    service = await serve()

    assert await code_of(healthy(service, "weather")) is grpc.StatusCode.NOT_FOUND


async def test_a_server_describes_every_service_that_it_has(serve: Any) -> None:
    service = await serve()

    assert {of.full_name for of in SERVICES} < await described(service.channel)


async def test_a_server_that_is_told_so_describes_nothing(serve: Any) -> None:
    service = await serve(reflection=False)

    assert await code_of(described(service.channel)) is grpc.StatusCode.UNIMPLEMENTED


async def test_a_server_says_what_it_is_and_what_it_refuses_to_exceed(serve: Any) -> None:
    service = await serve(max_queued_runs=7, max_payload_bytes=2048)

    info = await service.server.GetServerInfo(server_pb2.GetServerInfoRequest())

    assert info.version == version("perdure-server")
    assert (info.limits.max_queued_runs, info.limits.max_payload_bytes) == (7, 2048)
    assert all(value for _, value in info.limits.ListFields())
    assert len(info.limits.ListFields()) == len(server_pb2.Limits.DESCRIPTOR.fields)
    assert info.durability == server_pb2.DURABILITY_LOCAL
    assert info.authentication == server_pb2.AUTHENTICATION_OPEN
    assert (info.store, info.generation) == ("sqlite", 1)
    kinds = {field.name for field in plans_pb2.PlanNode.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert {*kinds, "fan_out", "choice", "schedules", "concurrency"} <= set(info.capabilities)
    assert len(set(info.capabilities)) == len(info.capabilities)
