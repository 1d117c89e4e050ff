"""Health, with one answer for each thing that serving depends on."""

import asyncio
from typing import Final

import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from perdure_control_plane.domain.errors import PerdureError
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.ports import Store, Transaction

log = structlog.get_logger(__name__)

SERVICES: Final = ("store", "journal", "queue", "executors")
"""Names to ask for: reading works, writing works, there is room for more runs, somebody takes work.

The empty name answers for the server: it serves when it can read and write.
"""


class Health:
    """Keeps the standard health service's answers true."""

    def __init__(self, store: Store, limits: Limits, interval_seconds: float = 5.0) -> None:
        self.servicer: Final = aio.HealthServicer()
        self._store = store
        self._limits = limits
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Looks again every few seconds, until it is cancelled. A write that takes longer than that has failed."""
        while True:
            await self.look()
            await asyncio.sleep(self._interval_seconds)

    async def look(self) -> None:
        """Asks each dependency once."""
        readable, room, staffed = await self._read()
        writable = await self._writes()
        answers = {"store": readable, "journal": writable, "queue": room, "executors": staffed}
        for service, healthy in {**answers, "": readable and writable}.items():
            await self.servicer.set(service, _status(healthy))

    async def drain(self) -> None:
        """Answers NOT_SERVING to everything from here on."""
        await self.servicer.enter_graceful_shutdown()

    async def _read(self) -> tuple[bool, bool, bool]:
        def body(tx: Transaction) -> tuple[bool, bool, bool]:
            staffed = bool(tx.executors.live_providers(tx.now))
            return True, tx.runs.count_queued() < self._limits.max_queued_runs, staffed

        try:
            return await self._store.read(body)
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody can read, and the next look may find otherwise
            _say("health.store_failed", error)
            return False, False, False

    async def _writes(self) -> bool:
        try:
            async with asyncio.timeout(self._interval_seconds):
                await self._store.write(lambda tx: tx.upkeep.try_writing(tx.now))
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody can write, and the next look may find otherwise
            _say("health.journal_failed", error)
            return False
        return True


def _say(what: str, error: Exception) -> None:
    if isinstance(error, PerdureError | TimeoutError):
        log.warning(what, reason=str(error) or "it took too long")
    else:
        log.error(what, exc_info=error)


def _status(healthy: bool) -> "health_pb2.HealthCheckResponse.ServingStatus.ValueType":
    serving = health_pb2.HealthCheckResponse
    return serving.SERVING if healthy else serving.NOT_SERVING
