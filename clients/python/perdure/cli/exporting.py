"""`perdure runs export`: writes runs with their plans and their whole logs to a file."""

import pathlib
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import IO, Annotated, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.cli import names
from perdure.cli.chosen_runs import LARGEST_PAGE, AllRuns, Runs, RunsOfFlow, choose_runs
from perdure.cli.connection import connected
from perdure.cli.new_files import FOR_ITS_OWNER, new_file
from perdure.cli.options import Output
from perdure.cli.printing.formats import Format, print_document
from perdure.cli.printing.words import counted
from perdure.client import Client, pages
from perdure.client.exports import FORM, write_record
from perdure.runlog.digests import NO_EVENTS, next_digest
from perdure.v1.exports_pb2 import ExportedEnd, ExportedPlan, ExportedRun, ExportHeader
from perdure.v1.runs_pb2 import GetRunPlanRequest, GetRunRequest, ListRunEventsRequest

STANDARD_OUTPUT: Final = ("-", "/dev/stdout")


@connected
async def export_runs(
    perdure: Client,
    to: Annotated[
        pathlib.Path,
        typer.Option("--to", metavar="FILE", help="File to write; there must be none yet. - is standard output."),
    ],
    runs: Runs = None,
    flow_id: RunsOfFlow = None,
    all_runs: AllRuns = False,
    output: Output = Format.TABLE,
) -> None:
    """Write runs to a file, with their plans and whole logs, so that they can be checked without a server.

    Each run is written as far as it is when its turn comes. What decisions, outputs and commands printed is in the file.
    On standard output there is nothing but the export, whatever -o says.
    """
    chosen = await choose_runs(perdure, runs, flow_id, all_runs)
    # It holds what people and programs wrote: for its owner alone.
    whole = str(to) not in STANDARD_OUTPUT
    with new_file(to, FOR_ITS_OWNER) if whole else nullcontext(sys.stdout.buffer) as file:
        events = await _export(perdure, chosen, file)
        file.flush()
    if output is Format.TABLE or not whole:
        place = f" in {to}" if whole else ""
        typer.echo(f"{counted(len(chosen), 'run')}, {counted(events, 'event')}{place}", err=True)
    else:
        print_document({"file": str(to), "runs": chosen, "events": events}, output)


async def _export(perdure: Client, chosen: list[str], file: IO[bytes]) -> int:
    now = Timestamp()
    now.FromDatetime(datetime.now(UTC))
    write_record(file, header=ExportHeader(form=FORM, create_time=now))
    plans = set[bytes]()
    return sum([await _export_run(perdure, name, plans, file) for name in chosen])


async def _export_run(perdure: Client, name: str, plans: set[bytes], file: IO[bytes]) -> int:
    """Writes one run and returns how many events it has."""
    row = await perdure.runs.GetRun(GetRunRequest(name=name))
    stored = await perdure.runs.GetRunPlan(GetRunPlanRequest(name=name))
    if stored.digest not in plans:
        plans.add(stored.digest)
        write_record(file, plan=ExportedPlan(digest=stored.digest, plan=stored.plan))
    write_record(file, run=ExportedRun(run=row, plan_digest=stored.digest))
    digest, written = NO_EVENTS, 0
    request = ListRunEventsRequest(name=names.run(name), page_size=LARGEST_PAGE)
    async for page in pages(perdure.runs.ListRunEvents, request):
        for recorded in page.events:
            if written < row.last_sequence:
                written += 1
                digest = next_digest(digest, recorded, recorded.event.SerializeToString())
                write_record(file, event=recorded)
        if written == row.last_sequence:
            break  # what came later is not of the run as it was shown
    write_record(file, end=ExportedEnd(last_sequence=row.last_sequence, head_digest=digest))
    return written
