"""`perdure audit`."""

import pathlib
import re
import sys
from contextlib import nullcontext
from typing import Annotated, Final

import typer

from perdure.audit.checker import ChainChecker, Remembered
from perdure.audit.lines import header_line, line_of
from perdure.audit.signing import is_signed
from perdure.cli.audit_trail import Told, check_export, checked_pieces, items, print_head, print_told
from perdure.cli.connection import connected
from perdure.cli.exit_codes import ExitCode
from perdure.cli.exporting import STANDARD_OUTPUT
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.moments import moment_message
from perdure.cli.new_files import FOR_ITS_OWNER, new_file
from perdure.cli.options import Limit, Output
from perdure.cli.printing.formats import Format, print_document
from perdure.cli.printing.words import counted
from perdure.client import Client, pages
from perdure.v1.audit_pb2 import ExportAuditEventsRequest, GetAuditHeadRequest, ListAuditEventsRequest

_POSITION: Final = re.compile(r"[0-9]{1,18}")

app = noun("Audit: who did what, when and from where, and whether any of it was bent.")


@app.command("list")
@connected
async def list_events(
    perdure: Client,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only of this type, as run.paused. Repeat for more."),
    ] = None,
    principal: Annotated[str, typer.Option("--principal", metavar="NAME", help="Only by this principal.")] = "",
    resource: Annotated[
        str, typer.Option("--resource", metavar="NAME", help="Only on this resource, as runs/{run}.")
    ] = "",
    since: Annotated[
        str | None, typer.Option("--since", metavar="MOMENT", help="Only from then on: a time, or how long ago, as 2h.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="MOMENT", help="Only before that.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    output: Output = Format.TABLE,
) -> None:
    """List audit events, the latest first, sealed or not."""
    request = ListAuditEventsRequest(
        types=types or (),
        principal=principal,
        resource=resource,
        start_time=moment_message(since, "--since"),
        end_time=moment_message(until, "--until"),
        page_size=page_size(limit),
    )
    await list_items(pages(perdure.audit.ListAuditEvents, request), lambda page: page.events, limit, output)


@app.command()
@connected
async def head(perdure: Client, output: Output = Format.TABLE) -> None:
    """Show how far the chain is. Kept somewhere else, it proves later that nothing before it was made anew."""
    print_head(await perdure.audit.GetAuditHead(GetAuditHeadRequest()), output)


@app.command()
@connected
async def export(
    perdure: Client,
    to: Annotated[
        pathlib.Path,
        typer.Option("--to", metavar="FILE", help="File to write; there must be none yet. - is standard output."),
    ],
    after: Annotated[int, typer.Option("--after", metavar="POSITION", min=0, help="Only what comes after that.")] = 0,
    output: Output = Format.TABLE,
) -> None:
    """Write the sealed events to a file, a line of JSON each, with what proves them; events not sealed yet are left out.

    On standard output there is nothing but the export, whatever -o says.
    """
    whole = str(to) not in STANDARD_OUTPUT
    told = Told()
    with new_file(to, FOR_ITS_OWNER) if whole else nullcontext(sys.stdout.buffer) as file:
        file.write(header_line())
        stream = perdure.audit.ExportAuditEvents(ExportAuditEventsRequest(after_position=after))
        async for item in checked_pieces(items(stream), told):
            file.write(line_of(item))
        file.flush()
    if output is Format.TABLE or not whole:
        place = f" in {to}" if whole else ""
        typer.echo(f"{counted(told.events, 'event')}{place}, {told.unsealed_words}", err=True)
    else:
        print_document({"file": str(to), "events": told.events, "unsealed_events": told.unsealed_events}, output)


@app.command()
@connected
async def verify(
    perdure: Client,
    export: Annotated[
        pathlib.Path | None,
        typer.Option("--export", metavar="FILE", help="A file of `perdure audit export`: no server is asked."),
    ] = None,
    remembered: Annotated[
        str | None,
        typer.Option(
            "--remembered", metavar="POSITION:HASH", help="A head that was kept elsewhere, as `audit head` shows it."
        ),
    ] = None,
    public_keys: Annotated[
        list[str] | None,
        typer.Option(
            "--public-key", metavar="HEX", help="Key that heads must be signed with; any without it. Repeat for more."
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> ExitCode:
    """Check the audit trail: whether an event was changed, dropped, moved, added or cut off, and which is the first.

    Exits with 1 where one was. What neither a signed head nor a remembered one covers could have been made anew whole.
    """
    keys = [_bytes(text, "--public-key") for text in public_keys or ()]
    checker = ChainChecker(is_signed, keys, _remembered(remembered) if remembered is not None else None)
    if export is not None:
        told = check_export(export, checker)
    else:
        end = await perdure.audit.GetAuditHead(GetAuditHeadRequest())
        told = Told(checker, of=end.position - end.pruned_position)
        stream = perdure.audit.ExportAuditEvents(ExportAuditEventsRequest())
        async for _ in checked_pieces(items(stream), told):
            pass
    told.finish()
    print_told(told, checker, output)
    return ExitCode.FAILURE if checker.faults else ExitCode.OK


def _remembered(text: str) -> Remembered:
    position, _, hash = text.partition(":")
    if not _POSITION.fullmatch(position) or len(hash) != 64:
        raise typer.BadParameter(
            f"{text!r} is no head; write POSITION:HASH, as `perdure audit head` shows it", param_hint="'--remembered'"
        )
    return Remembered(int(position), _bytes(hash, "--remembered"))


def _bytes(text: str, option: str) -> bytes:
    try:
        content = bytes.fromhex(text)
    except ValueError:
        content = b""
    if len(content) != 32:
        raise typer.BadParameter(f"{text!r} is not 64 hexadecimal digits", param_hint=f"'{option}'")
    return content
