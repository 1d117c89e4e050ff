"""Control plane and executor in one process, for a laptop."""

import asyncio

from perdure_services.control_plane import control_plane
from perdure_services.executor import executor, work_until
from perdure_services.settings import ControlPlaneSettings, ExecutorSettings


async def serve_all(server: ControlPlaneSettings, work: ExecutorSettings, stop: asyncio.Event) -> int:
    """Serves and works until asked to stop, or until the executor leaves; running work is given its drain time.

    Returns the exit code.
    """
    async with control_plane(server, stop) as address, executor(work.model_copy(update={"server": address})) as worker:
        return await work_until(stop, worker)
