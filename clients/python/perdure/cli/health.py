"""Health: what serving depends on, and what to do about each of it that does not work."""

from collections.abc import Mapping
from typing import Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from perdure.client import CallFailed, Client

WAYS_OUT: Final = {
    "store": "the database cannot be read; look at it and at the disk and log of the server, then: perdure-server check",
    "journal": "nothing can be stored, so nothing starts, ends or is decided; free space on the disk of the database",
    "queue": "no more runs can wait; add executors (perdure-server executor), or start flows later",
    "executors": "nothing runs without an executor; start one: perdure-server executor",
}
"""The dependencies of a server, by the names that its health service has for them, and what to do when one fails."""

_SERVER: Final = "server"
"""The word for the server as a whole, whose name is empty there."""


async def read_health(perdure: Client) -> dict[str, str]:
    """What the server said of itself and of each dependency when it last looked, a few seconds ago at most.

    SERVING, NOT_SERVING, or SERVICE_UNKNOWN where this server does not know the dependency. Raises CallFailed.
    """
    return {name: await _ask(perdure, name.removeprefix(_SERVER)) for name in (_SERVER, *WAYS_OUT)}


def failing(health: Mapping[str, str]) -> list[str]:
    """The dependencies that do not serve."""
    return [name for name in WAYS_OUT if health[name] == "NOT_SERVING"]


async def _ask(perdure: Client, service: str) -> str:
    try:
        answer = await perdure.health.Check(HealthCheckRequest(service=service))
    except CallFailed as failure:
        if failure.code is not grpc.StatusCode.NOT_FOUND:
            raise
        return "SERVICE_UNKNOWN"
    return str(HealthCheckResponse.ServingStatus.Name(answer.status))
