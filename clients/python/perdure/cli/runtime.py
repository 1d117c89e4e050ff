"""`perdure runtime`: what the server is, and who works for it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import typer

from perdure.cli.connection import connected
from perdure.cli.lazy import noun
from perdure.cli.options import Output
from perdure.cli.printing.descriptions import describe
from perdure.cli.printing.formats import Format, as_dict, print_document, print_list
from perdure.client import Client, pages
from perdure.v1.server_pb2 import Executor, GetServerInfoRequest, ListExecutorsRequest, ServerInfo

app = noun("The server's limits and promises, and the executors that work for it.")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A server and its executors."""

    server: ServerInfo
    executors: tuple[Executor, ...]

    @property
    def live(self) -> list[Executor]:
        """Executors that can be given work."""
        return [executor for executor in self.executors if executor.state == Executor.STATE_LIVE]


@app.command()
@connected
async def get(perdure: Client, output: Output = Format.TABLE) -> None:
    """Show what the server is, what it refuses to exceed, what waits, and every executor that has connected."""
    runtime = await read_runtime(perdure)
    if output is not Format.TABLE:
        print_document(runtime_document(runtime), output)
        return
    typer.echo("\n".join(describe(runtime.server, datetime.now(UTC))))
    typer.echo("\nexecutors:")
    print_list(runtime.executors, Format.TABLE)


async def read_runtime(perdure: Client) -> Runtime:
    """The server and its executors as they are now, live ones first. Raises CallFailed."""
    server = await perdure.server.GetServerInfo(GetServerInfoRequest())
    executors: list[Executor] = []
    async for page in pages(perdure.server.ListExecutors, ListExecutorsRequest()):
        executors += page.executors
    return Runtime(server, tuple(sorted(executors, key=lambda each: each.state)))


def runtime_document(runtime: Runtime) -> dict[str, Any]:
    """Both as one document: `server` and `executors`, each in proto JSON."""
    return {"server": as_dict(runtime.server), "executors": [as_dict(each) for each in runtime.executors]}
