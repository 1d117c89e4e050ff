"""`perdure runs signal|inbox`: what is sent to runs, and what became of it."""

import json
from typing import Annotated

import typer

from perdure.cli import names
from perdure.cli.connection import connected
from perdure.cli.json_text import json_object_or_file
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.options import Limit, Output, RunName
from perdure.cli.printing.formats import Format, print_one
from perdure.client import Client, pages
from perdure.v1.run_inbox_pb2 import ListInboxRequest, SignalRunRequest


def add_signalling_commands(app: typer.Typer) -> None:
    """Adds the commands to those of runs."""
    app.command("signal")(signal_run)
    app.command("inbox")(list_inbox)


@connected
async def signal_run(
    perdure: Client,
    run: RunName,
    signal: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the signal, as a node of the playbook has it.")
    ],
    payload: Annotated[
        str | None, typer.Option("--json", metavar="JSON", help="What comes with it: a JSON object, or @FILE.")
    ] = None,
    request_id: Annotated[
        str,
        typer.Option("--request-id", metavar="ID", help="Your own id of it: sent again with the same, it counts once."),
    ] = "",
    output: Output = Format.TABLE,
) -> None:
    """Send a signal to a run. The node that waits for it goes on, with what comes with it as its output.

    While none waits, the run keeps the signal for the next node that does.
    """
    request = SignalRunRequest(name=names.run(run), signal=signal, request_id=request_id)
    if payload is not None:
        request.payload = json.dumps(json_object_or_file(payload, "--json")).encode()
    print_one(await perdure.inbox.SignalRun(request), output)


@connected
async def list_inbox(
    perdure: Client, run: RunName, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE
) -> None:
    """List what has arrived for a run: signals, decisions, answers and times; and whether something followed from it.

    A signal is open until a node that waits for it takes it.
    """
    request = ListInboxRequest(name=names.run(run), page_size=page_size(limit))
    await list_items(pages(perdure.inbox.ListInbox, request), lambda page: page.facts, limit, output)
