"""`perdure schedules`: flows that are started at times."""

from enum import StrEnum
from typing import Annotated

import typer

from perdure.cli import names
from perdure.cli.asking import confirm
from perdure.cli.connection import connected
from perdure.cli.durations import duration_message
from perdure.cli.inputs import Content, InputJson, Inputs, RequestFile, flow_request
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.options import Limit, Output, Yes
from perdure.cli.printing.formats import Format, print_one
from perdure.cli.start_options import (
    InSession,
    Labels,
    Priority,
    Queue,
    RunTimeout,
    StartedDigest,
    StartedPlaybook,
    StartedVersion,
    StartOptions,
)
from perdure.client import Client, pages
from perdure.v1.schedules_pb2 import (
    CreateScheduleRequest,
    DeleteScheduleRequest,
    GetScheduleRequest,
    ListFiringsRequest,
    ListSchedulesRequest,
    MisfirePolicy,
    OverlapPolicy,
    PauseScheduleRequest,
    ResumeScheduleRequest,
    Schedule,
    TriggerScheduleRequest,
)

app = noun("Schedules: playbook versions that are started at times, by a cron expression or at intervals.")


class Overlap(StrEnum):
    """What is done when the flow before has not ended."""

    SKIP = "skip"
    QUEUE_ONE = "queue-one"
    ALLOW = "allow"
    CANCEL_PREVIOUS = "cancel-previous"


class Misfire(StrEnum):
    """What is done about times that no server was there for."""

    SKIP = "skip"
    RUN_ONCE = "run-once"
    RUN_ALL = "run-all"


ScheduleName = Annotated[str, typer.Argument(metavar="SCHEDULE", help="The schedule: its id, or schedules/{schedule}.")]


@app.command()
@connected
async def create(
    perdure: Client,
    schedule: ScheduleName,
    playbook_id: StartedPlaybook,
    version: StartedVersion,
    digest: StartedDigest,
    session_id: InSession,
    cron: Annotated[
        str, typer.Option("--cron", metavar="FIELDS", help="Minute, hour, day of month, month, day of week.")
    ] = "",
    every: Annotated[
        str | None, typer.Option("--every", metavar="DURATION", help="An interval in place of --cron: 30s, 5m, 24h.")
    ] = None,
    time_zone: Annotated[
        str, typer.Option("--time-zone", metavar="ZONE", help="Of --cron, such as Europe/Vienna; left out: UTC.")
    ] = "",
    overlap: Annotated[
        Overlap, typer.Option("--overlap", help="What is done when the flow before has not ended.")
    ] = Overlap.SKIP,
    misfire: Annotated[
        Misfire, typer.Option("--misfire", help="What is done about times that no server was there for.")
    ] = Misfire.RUN_ONCE,
    catch_up: Annotated[
        str | None, typer.Option("--catch-up", metavar="DURATION", help="How far back run-all goes; left out: 1h.")
    ] = None,
    jitter: Annotated[
        str | None, typer.Option("--jitter", metavar="DURATION", help="Firings are later by a part of this.")
    ] = None,
    request_file: RequestFile = None,
    inputs: Inputs = None,
    input_json: InputJson = None,
    content: Content = None,
    queue: Queue = "",
    labels: Labels = None,
    priority: Priority = 0,
    run_limit: RunTimeout = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a schedule for a published version of a playbook, named by id, version and digest."""
    if bool(cron) == bool(every):
        raise typer.BadParameter("give one of --cron and --every")
    options = StartOptions(
        playbook_id=playbook_id,
        version=version,
        digest=digest,
        session_id=session_id,
        given=flow_request(request_file, input_json, inputs, content),
        queue=queue,
        labels=labels,
        priority=priority,
        run_limit=run_limit,
    )
    wanted = Schedule(
        start=options.request(),
        time_zone=time_zone,
        overlap=OverlapPolicy.Value(f"OVERLAP_POLICY_{overlap.name}"),
        misfire=MisfirePolicy.Value(f"MISFIRE_POLICY_{misfire.name}"),
        catch_up_window=duration_message(catch_up, "--catch-up"),
        jitter=duration_message(jitter, "--jitter"),
    )
    if every:
        wanted.interval.CopyFrom(duration_message(every, "--every") or wanted.interval)
    else:
        wanted.cron = cron
    request = CreateScheduleRequest(schedule_id=names.bare(names.schedule(schedule)), schedule=wanted)
    print_one(await perdure.schedules.CreateSchedule(request), output)


@app.command()
@connected
async def get(perdure: Client, schedule: ScheduleName, output: Output = Format.TABLE) -> None:
    """Show a schedule: what it starts, and when next."""
    print_one(await perdure.schedules.GetSchedule(GetScheduleRequest(name=names.schedule(schedule))), output)


@app.command("list")
@connected
async def list_schedules(perdure: Client, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE) -> None:
    """List schedules by id, each with the next of its times."""
    request = ListSchedulesRequest(page_size=page_size(limit))
    await list_items(pages(perdure.schedules.ListSchedules, request), lambda page: page.schedules, limit, output)


@app.command("firings")
@connected
async def list_firings(
    perdure: Client, schedule: ScheduleName, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE
) -> None:
    """List what became of each time of a schedule, the latest first."""
    request = ListFiringsRequest(schedule=names.schedule(schedule), page_size=page_size(limit))
    await list_items(pages(perdure.schedules.ListFirings, request), lambda page: page.firings, limit, output)


@app.command()
@connected
async def pause(perdure: Client, schedule: ScheduleName, output: Output = Format.TABLE) -> None:
    """Let no time of a schedule come until it is resumed. Flows that it has started go on."""
    print_one(await perdure.schedules.PauseSchedule(PauseScheduleRequest(name=names.schedule(schedule))), output)


@app.command()
@connected
async def resume(perdure: Client, schedule: ScheduleName, output: Output = Format.TABLE) -> None:
    """Let a schedule go on with the next of its times; those that passed meanwhile count for nothing."""
    print_one(await perdure.schedules.ResumeSchedule(ResumeScheduleRequest(name=names.schedule(schedule))), output)


@app.command()
@connected
async def trigger(perdure: Client, schedule: ScheduleName, output: Output = Format.TABLE) -> None:
    """Fire a schedule now, paused or not, as its overlap policy says. Its times stay as they are."""
    print_one(await perdure.schedules.TriggerSchedule(TriggerScheduleRequest(name=names.schedule(schedule))), output)


@app.command()
@connected
async def delete(perdure: Client, schedule: ScheduleName, yes: Yes = False, output: Output = Format.TABLE) -> None:
    """Delete a schedule and its history, and show what it was. Flows that it has started stay."""
    name = names.schedule(schedule)
    confirm(f"Delete {name} and its history?", yes)
    found = await perdure.schedules.GetSchedule(GetScheduleRequest(name=name))
    await perdure.schedules.DeleteSchedule(DeleteScheduleRequest(name=name))
    print_one(found, output)
