"""Control plane and executor in one process, for a laptop."""

import asyncio

from perdure_services.control_plane import control_plane
from perdure_services.executor import executor
from perdure_services.settings import ControlPlaneSettings, ExecutorSettings


async def serve_all(server: ControlPlaneSettings, work: ExecutorSettings, stop: asyncio.Event) -> None:
    """Serves and works until asked to stop; running work is given its drain time."""
    async with control_plane(server, stop) as address, executor(work.model_copy(update={"server": address})) as worker:
        working = asyncio.create_task(worker.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await worker.drain()
        await working
