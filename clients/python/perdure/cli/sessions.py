"""`perdure sessions`."""

from typing import Annotated

import typer

from perdure.cli import names
from perdure.cli.connection import connected
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.options import Limit, Output, SessionName
from perdure.cli.printing import events
from perdure.cli.printing.formats import Format, print_item, print_one
from perdure.client import CallFailed, Client, pages
from perdure.v1.sessions_pb2 import (
    CreateSessionRequest,
    GetSessionRequest,
    ListSessionEventsRequest,
    ListSessionsRequest,
    Session,
)

app = noun("Sessions: lines of work, each with its runs, agents, tasks and events.")


@app.command()
@connected
async def create(
    perdure: Client,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Id of the session; left out, the server chooses.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a session to start flows in. One that exists already is shown as it is."""
    full = names.session(name) if name is not None else ""
    session_id, before = names.bare(full), await _find(perdure, full) if full else None
    print_one(await perdure.sessions.CreateSession(CreateSessionRequest(session_id=session_id)), output)
    if before is not None:
        typer.echo("it was there already; nothing has changed", err=True)


async def _find(perdure: Client, name: str) -> Session | None:
    try:
        return await perdure.sessions.GetSession(GetSessionRequest(name=name))
    except CallFailed as failure:
        if failure.reason != "NOT_FOUND":
            raise
        return None


@app.command()
@connected
async def get(perdure: Client, session: SessionName, output: Output = Format.TABLE) -> None:
    """Show a session."""
    print_one(await perdure.sessions.GetSession(GetSessionRequest(name=names.session(session))), output)


@app.command("list")
@connected
async def list_sessions(perdure: Client, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE) -> None:
    """List sessions by id."""
    request = ListSessionsRequest(page_size=page_size(limit))
    await list_items(pages(perdure.sessions.ListSessions, request), lambda page: page.sessions, limit, output)


@app.command("events")
@connected
async def list_events(perdure: Client, session: SessionName, output: Output = Format.TABLE) -> None:
    """Print every event of a session's runs: runs in the order they began, each run's events by sequence."""
    request = ListSessionEventsRequest(name=names.session(session))
    run_id = ""
    async for page in pages(perdure.sessions.ListSessionEvents, request):
        for recorded in page.events:
            if output is Format.TABLE and recorded.run_id != run_id:
                typer.echo(f"runs/{recorded.run_id}\n{events.HEADER}")
                run_id = recorded.run_id
            print_item(recorded, output, events.event_line)
