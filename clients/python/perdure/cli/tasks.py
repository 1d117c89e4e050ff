"""`perdure tasks`."""

import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated, BinaryIO, Final

import typer

from perdure.cli import names
from perdure.cli.connection import connected
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.options import Limit, OfRun, Output, SessionName
from perdure.cli.printing.formats import Format, print_item, print_one
from perdure.cli.printing.opening import opened
from perdure.client import Client, pages
from perdure.v1.node_events_pb2 import OUTPUT_STREAM_STDERR
from perdure.v1.tasks_pb2 import GetTaskRequest, ListTasksRequest, ReadTaskOutputRequest, TaskOutputPiece

app = noun("Tasks: one for each time a run has begun a command, with its exit code and what it printed.")

TAIL_BYTES: Final = 8192

TaskSession = Annotated[
    str, typer.Argument(metavar="SESSION", help="The task's session; or sessions/{session}/tasks/{task}, alone.")
]
TaskName = Annotated[str | None, typer.Argument(metavar="TASK", help="The task's id.")]


@app.command("list")
@connected
async def list_tasks(
    perdure: Client,
    session: SessionName,
    run_id: OfRun = None,
    limit: Limit = DEFAULT_LIMIT,
    output: Output = Format.TABLE,
) -> None:
    """List the tasks of a session, the latest first."""
    run = names.run(run_id) if run_id is not None else ""
    request = ListTasksRequest(parent=names.session(session), run=run, page_size=page_size(limit))
    await list_items(pages(perdure.tasks.ListTasks, request), lambda page: page.tasks, limit, output)


@app.command()
@connected
async def get(perdure: Client, session: TaskSession, task: TaskName = None, output: Output = Format.TABLE) -> None:
    """Show a task: its command, how it ended, and why."""
    print_one(await perdure.tasks.GetTask(GetTaskRequest(name=names.task(session, task))), output)


@app.command("output")
@connected
async def read_output(
    perdure: Client,
    session: TaskSession,
    task: TaskName = None,
    full: Annotated[bool, typer.Option("--full", help="Everything that is kept, not the end only.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Write what a task has printed, byte for byte: its standard output to ours, its standard error to ours.

    Only the end of it, unless --full is given. With -o json each stored piece is an object, its content in base64.
    """
    pieces = aiter(perdure.tasks.ReadTaskOutput(ReadTaskOutputRequest(name=names.task(session, task))))
    if output is not Format.TABLE:
        async for piece in pieces:
            print_item(piece, output, str)
    elif full:
        async for piece in pieces:
            _write(opened(piece))
    else:
        await _write_tail(pieces)


async def _write_tail(pieces: AsyncIterator[TaskOutputPiece]) -> None:
    kept: deque[TaskOutputPiece] = deque()
    kept_bytes = left_out = 0
    async for stored in pieces:
        piece = opened(stored)
        kept.append(piece)
        kept_bytes += len(piece.content)
        while kept_bytes - len(kept[0].content) >= TAIL_BYTES:
            dropped = len(kept.popleft().content)
            kept_bytes, left_out = kept_bytes - dropped, left_out + dropped
    if kept and kept_bytes > TAIL_BYTES:
        cut = kept_bytes - TAIL_BYTES
        kept[0].content, left_out = kept[0].content[cut:], left_out + cut
    if left_out:
        typer.echo(f"[{left_out} bytes before this; --full shows them]", err=True)
    for piece in kept:
        _write(piece)


def _write(piece: TaskOutputPiece) -> None:
    target: BinaryIO = (sys.stderr if piece.stream == OUTPUT_STREAM_STDERR else sys.stdout).buffer
    target.write(piece.content)
    target.flush()
    if piece.truncated:
        typer.echo("[further output of this stream was not kept]", err=True)
