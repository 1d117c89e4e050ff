"""`perdure status`: whether the server is well, and what waits for whom."""

import typer

from perdure.cli.connection import connected
from perdure.cli.lazy import verb
from perdure.cli.options import Output
from perdure.cli.printing.formats import Format
from perdure.cli.printing.words import enum_word
from perdure.cli.runtime import Runtime, print_runtime, read_runtime
from perdure.client import Client
from perdure.v1 import server_pb2

app = verb()


@app.command()
@connected
async def status(perdure: Client, output: Output = Format.TABLE) -> None:
    """Say whether the server answers, how many executors take work, and what waits for them and for people."""
    runtime = await read_runtime(perdure)
    if output is not Format.TABLE:
        print_runtime(runtime, output)
        return
    server, live = runtime.server, runtime.live
    held = sum(executor.held_runs for executor in live)
    slots = sum(executor.slots for executor in live)
    typer.echo(f"server:     {server.version}, {server.store}, {_durability(server)}, {_authentication(server)}")
    typer.echo(f"executors:  {len(live)} live, {held} of {slots} slots taken")
    typer.echo(f"queue:      {server.queued_runs} runs wait for an executor")
    typer.echo(f"approvals:  {server.pending_approvals} wait for a person")
    _advise(runtime)


def _durability(server: server_pb2.ServerInfo) -> str:
    return f"{enum_word(server_pb2.Durability.DESCRIPTOR, server.durability)} durability"


def _authentication(server: server_pb2.ServerInfo) -> str:
    if server.authentication == server_pb2.AUTHENTICATION_REQUIRED:
        return "callers must say who they are"
    return "open to everybody who reaches it"


def _advise(runtime: Runtime) -> None:
    if not runtime.live:
        typer.echo("nothing runs without an executor; start one: perdure-server executor", err=True)
    if runtime.server.pending_approvals:
        typer.echo("look at what waits for you: perdure approvals list", err=True)
