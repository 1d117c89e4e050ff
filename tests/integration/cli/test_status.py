"""`perdure status`: what serving depends on, what waits, and the same for programs."""

import asyncio
import resource
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from perdure_control_plane.api.health import SERVICES

NAMES = ("server", *SERVICES)


def wait_until(address: str, service: str, wanted: "HealthCheckResponse.ServingStatus.ValueType") -> None:
    """Returns when a server says so of something that it depends on."""
    with grpc.insecure_channel(address) as channel:
        stub: Any = HealthStub(channel)
        for answer in stub.Watch(HealthCheckRequest(service=service), timeout=50):
            if answer.status == wanted:
                return


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="a process's files cannot be limited here")
def test_a_server_that_cannot_store_anything_is_not_said_to_be_well(own: Callable[..., Any]) -> None:
    perdure = own()
    assert "health:     well\n" in perdure("status").out

    unlimited = resource.prlimit(perdure.server.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    wait_until(perdure.server.address, "journal", HealthCheckResponse.NOT_SERVING)
    told, document = perdure("status"), perdure.done("status")
    resource.prlimit(perdure.server.process.pid, resource.RLIMIT_FSIZE, unlimited)

    assert told.code == 0
    assert told.out.startswith("health:     journal does not serve\nserver: ")
    assert "well" not in told.out
    assert "journal: nothing can be stored, so nothing starts, ends or is decided; free space" in told.err
    assert {name for name in NAMES if document["health"][name] != "SERVING"} == {"server", "journal"}


def test_programs_are_told_the_whole_status(perdure: Any) -> None:
    wait_until(perdure.server.address, "executors", HealthCheckResponse.SERVING)

    document = perdure.done("status")

    assert document["health"] == dict.fromkeys(NAMES, "SERVING")
    counts = ("queued_runs", "open_approvals", "held_runs", "effects_in_doubt", "paused_runs", "doubts_of_ended_runs")
    assert [document[count] for count in counts] == [0] * len(counts)
    assert document["all_counted"] is True
    assert document["server"]["store"] == "sqlite"
    assert [executor["state"] for executor in document["executors"]] == ["STATE_LIVE"]
    assert yaml.safe_load(perdure("status", "-o", "yaml").out).keys() == document.keys()


async def test_whoever_waits_is_told_in_the_end_what_does_not_serve(serve: Any, perdure: Any) -> None:
    service = await serve()

    told = await asyncio.to_thread(perdure.apart, "status", "--wait", "10ms", "--server", service.address)

    assert told.code == 7
    assert told.out.startswith("health:     executors do not serve\n")
    assert "executors: nothing runs without an executor; start one: perdure-server executor\n" in told.err


async def test_whoever_waits_goes_on_as_soon_as_an_executor_has_come(serve: Any, hire: Any, perdure: Any) -> None:
    service = await serve()
    waiting = perdure.begin("status", "--wait", "1h", "--server", service.address)

    first = await asyncio.to_thread(waiting.stderr.readline)
    await hire(service, {})
    out, _ = await asyncio.to_thread(waiting.communicate)

    assert first == "the server is not well yet; waiting for it\n"
    assert waiting.returncode == 0
    assert out.startswith("health:     well\n")
