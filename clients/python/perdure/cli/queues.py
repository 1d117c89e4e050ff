"""`perdure queues`."""

from typing import Annotated

import typer

from perdure.cli import names
from perdure.cli.connection import connected
from perdure.cli.durations import duration_message
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.options import Limit, Output
from perdure.cli.printing.formats import Format, print_one
from perdure.client import Client, pages
from perdure.v1.queues_pb2 import GetQueueRequest, ListQueuesRequest, QueueRate, UpdateQueueRequest

app = noun("Queues: where ready runs wait for an executor, and how many of each go on.")

QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue: its name, or queues/{queue}.")]


@app.command()
@connected
async def get(perdure: Client, queue: QueueName, output: Output = Format.TABLE) -> None:
    """Show a queue: its limits, what waits in it and what is at work."""
    print_one(await perdure.queues.GetQueue(GetQueueRequest(name=names.queue(queue))), output)


@app.command("list")
@connected
async def list_queues(perdure: Client, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE) -> None:
    """List the queues that have limits, ready runs or runs at work, by name."""
    request = ListQueuesRequest(page_size=page_size(limit))
    await list_items(pages(perdure.queues.ListQueues, request), lambda page: page.queues, limit, output)


@app.command("set")
@connected
async def set_limits(
    perdure: Client,
    queue: QueueName,
    at_work: Annotated[
        int | None, typer.Option("--at-work", min=0, help="Most runs that executors hold at once; 0: no limit.")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="RUNS/TIME", help="Runs that are handed out in a time: 20/1m; 0: no limit."),
    ] = None,
    queued: Annotated[
        int | None, typer.Option("--queued", min=0, help="Ready runs at which a start is refused; 0: no limit.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; shown with the queue.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Set limits of a queue, for all control planes; those that are not given stay as they are."""
    if at_work is None and rate is None and queued is None:
        raise typer.BadParameter("say what is to be set: --at-work, --rate or --queued")
    request = UpdateQueueRequest(
        name=names.queue(queue),
        max_runs_at_work=at_work,
        rate=None if rate is None else _rate(rate),
        max_queued_runs=queued,
        reason=reason,
    )
    print_one(await perdure.queues.UpdateQueue(request), output)


def _rate(text: str) -> QueueRate:
    runs, slash, time = text.partition("/")
    if not runs.isdecimal() or (int(runs) > 0) != bool(slash):
        raise typer.BadParameter(f"{text!r} is no rate; write 20/1m, or 0", param_hint="'--rate'")
    return QueueRate(runs=int(runs), period=duration_message(time, "--rate") if slash else None)
