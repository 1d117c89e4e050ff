"""Control plane and executor in one process, for a laptop."""

import asyncio
import secrets

from pydantic import SecretStr

from perdure_executor.redaction import Redaction
from perdure_services.control_plane import control_plane
from perdure_services.executor import executor, work_until
from perdure_services.settings import ControlPlaneSettings, ExecutorSettings


async def serve_all(
    server: ControlPlaneSettings, work: ExecutorSettings, stop: asyncio.Event, redaction: Redaction
) -> int:
    """Serves and works until asked to stop, or until the executor leaves; running work is given its drain time.

    Where callers are asked who they are the executor says what only this process knows. Returns the exit code.
    """
    embedded_key = secrets.token_hex(32) if server.authentication == "required" else ""
    async with control_plane(server, stop, embedded_key) as address:
        own = {"server": address, "key": SecretStr(embedded_key), "key_file": None}
        own |= {"tls_ca": "", "tls_certificate": None, "tls_key": None}
        async with executor(work.model_copy(update=own), redaction=redaction) as worker:
            return await work_until(stop, worker)
