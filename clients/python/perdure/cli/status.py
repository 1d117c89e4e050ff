"""`perdure status`: whether the server is well, and what waits for whom."""

from typing import Final

import typer

from perdure.cli.connection import connected
from perdure.cli.lazy import verb
from perdure.cli.options import Output
from perdure.cli.printing.formats import Format
from perdure.cli.printing.words import enum_word
from perdure.cli.runtime import Runtime, print_runtime, read_runtime
from perdure.client import Client
from perdure.v1 import run_states_pb2, server_pb2
from perdure.v1.runs_pb2 import PAUSE_REASON_APPROVAL, ListRunsRequest, ListRunsResponse, Run

app = verb()

_MOST_COUNTED: Final = 500
"""Paused runs that are looked at; where there are more, the counts say so."""


@app.command()
@connected
async def status(perdure: Client, output: Output = Format.TABLE) -> None:
    """Say whether the server answers, how many executors take work, and what waits for them and for people."""
    runtime = await read_runtime(perdure)
    if output is not Format.TABLE:
        print_runtime(runtime, output)
        return
    paused = await perdure.runs.ListRuns(
        ListRunsRequest(states=[run_states_pb2.RUN_STATE_PAUSED], page_size=_MOST_COUNTED)
    )
    server, live = runtime.server, runtime.live
    held = sum(executor.held_runs for executor in live)
    slots = sum(executor.slots for executor in live)
    typer.echo(f"server:     {server.version}, {server.store}, {_durability(server)}, {_authentication(server)}")
    typer.echo(f"executors:  {len(live)} live, {held} of {slots} slots taken")
    typer.echo(f"queue:      {server.queued_runs} runs wait for an executor")
    typer.echo(f"approvals:  {server.pending_approvals} wait for a person")
    typer.echo(f"held:       {_held(paused)}")
    _advise(runtime, paused)


def _held_runs(paused: ListRunsResponse) -> list[Run]:
    """Those that only a person makes go on, other than by deciding an approval."""
    return [run for run in paused.runs if run.pause_reason != PAUSE_REASON_APPROVAL]


def _held(paused: ListRunsResponse) -> str:
    held = _held_runs(paused)
    doubts = sum(run.effects_in_doubt for run in held)
    more = f"; counted among the latest {_MOST_COUNTED} that are paused" * bool(paused.next_page_token)
    return f"{len(held)} runs ({doubts} effects in doubt{more})"


def _durability(server: server_pb2.ServerInfo) -> str:
    return f"{enum_word(server_pb2.Durability.DESCRIPTOR, server.durability)} durability"


def _authentication(server: server_pb2.ServerInfo) -> str:
    if server.authentication == server_pb2.AUTHENTICATION_REQUIRED:
        return "callers must say who they are"
    return "open to everybody who reaches it"


def _advise(runtime: Runtime, paused: ListRunsResponse) -> None:
    if not runtime.live:
        typer.echo("nothing runs without an executor; start one: perdure-server executor", err=True)
    if runtime.server.pending_approvals:
        typer.echo("look at what waits for you: perdure approvals list", err=True)
    if _held_runs(paused):
        typer.echo("look at what is held: perdure runs list --state paused", err=True)
