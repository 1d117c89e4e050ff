"""`perdure runs`: executions, what happened in them, and how they go on."""

from enum import StrEnum
from typing import Annotated

import typer

from perdure.cli import names
from perdure.cli.asking import confirm_where_possible
from perdure.cli.connection import connected
from perdure.cli.doubts import tell_doubts
from perdure.cli.durations import parse_duration
from perdure.cli.exit_codes import ExitCode
from perdure.cli.explaining import add_explaining_command
from perdure.cli.exporting import export_runs
from perdure.cli.following.follow import Bounds, Until, UntilOption, WaitTimeout, follow_run
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.options import Limit, OfFlow, OfPlaybook, OfSession, Output, Reason, RunName, Yes
from perdure.cli.pausing import add_pausing_commands
from perdure.cli.printing import events
from perdure.cli.printing.formats import Format, print_item, print_one
from perdure.cli.recovery import add_recovery_commands
from perdure.cli.signalling import add_signalling_commands
from perdure.client import Client, pages
from perdure.runlog.states import RunState
from perdure.v1.run_effects_pb2 import ListEffectsRequest
from perdure.v1.runs_pb2 import (
    CancelRunRequest,
    GetRunRequest,
    InterruptRunRequest,
    ListCheckpointsRequest,
    ListRunEventsRequest,
    ListRunsRequest,
    Run,
    RunCondition,
)


class Condition(StrEnum):
    """What may be true of a run beside its state."""

    HELD = "held"
    IN_DOUBT = "in-doubt"
    AWAITS_DECISION = "awaits-decision"
    AWAITS_TIME = "awaits-time"
    AWAITS_SIGNAL = "awaits-signal"
    BACKS_OFF = "backs-off"
    LIMITED = "limited"

    def message(self) -> RunCondition.ValueType:
        """It as it is on the wire."""
        return RunCondition.Value(f"RUN_CONDITION_{self.name}")


app = noun("Runs: executions of playbooks. A run is its log: everything shown here is read from it.")


@app.command()
@connected
async def get(perdure: Client, run: RunName, output: Output = Format.TABLE) -> None:
    """Show a run: where it stands, what it waits for, who advances it, and why it failed where it did."""
    print_one(await perdure.runs.GetRun(GetRunRequest(name=names.run(run))), output)


@app.command("list")
@connected
async def list_runs(
    perdure: Client,
    states: Annotated[
        list[RunState] | None,
        typer.Option("--state", case_sensitive=False, help="Only those in this state; repeat for more."),
    ] = None,
    conditions: Annotated[
        list[Condition] | None,
        typer.Option("--because", help="Only those of which this is true, in whatever state; repeat for either."),
    ] = None,
    flow_id: OfFlow = None,
    session_id: OfSession = None,
    playbook_id: OfPlaybook = None,
    parent: Annotated[
        str | None, typer.Option("--parent", metavar="RUN", help="Only those that this run has started.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    output: Output = Format.TABLE,
) -> None:
    """List runs and where they stand, the latest first."""
    request = ListRunsRequest(
        states=[state.message() for state in states or []],
        flow=names.flow(flow_id) if flow_id is not None else "",
        session=names.session(session_id) if session_id is not None else "",
        playbook=names.playbook(playbook_id) if playbook_id is not None else "",
        parent_run=names.run(parent) if parent is not None else "",
        conditions=[condition.message() for condition in conditions or []],
        page_size=page_size(limit),
    )
    await list_items(pages(perdure.runs.ListRuns, request), lambda page: page.runs, limit, output)


@app.command("events")
@connected
async def list_events(
    perdure: Client,
    run: RunName,
    after: Annotated[int, typer.Option("--after", min=0, help="Only events after this sequence.")] = 0,
    output: Output = Format.TABLE,
) -> None:
    """Print a run's log: every event that is stored, by sequence."""
    request = ListRunEventsRequest(name=names.run(run), after_sequence=after)
    header = output is Format.TABLE
    async for page in pages(perdure.runs.ListRunEvents, request):
        if header:
            typer.echo(events.HEADER)
            header = False
        for recorded in page.events:
            print_item(recorded, output, events.event_line)


app.command("export")(export_runs)


@app.command("checkpoints")
@connected
async def list_checkpoints(
    perdure: Client, run: RunName, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE
) -> None:
    """List the positions of a run's log at which a node had settled, a wait had opened, or the run had ended.

    Of each it says whether it is safe to branch from, or what would be done twice.
    """
    request = ListCheckpointsRequest(name=names.run(run), page_size=page_size(limit))
    await list_items(pages(perdure.runs.ListCheckpoints, request), lambda page: page.checkpoints, limit, output)


@app.command("effects")
@connected
async def list_effects(
    perdure: Client, run: RunName, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE
) -> None:
    """List what a run has done, or may have done, to the world outside: each attempt with an effect, as it began.

    With -o json also who resolved it and how, and what lost executors reported late.
    """
    request = ListEffectsRequest(name=names.run(run), page_size=page_size(limit))
    await list_items(pages(perdure.runs.ListEffects, request), lambda page: page.effects, limit, output)


@app.command()
@connected
async def watch(
    perdure: Client,
    run: RunName,
    until: UntilOption = Until.SETTLED,
    wait_timeout: WaitTimeout = None,
    output: Output = Format.TABLE,
) -> ExitCode:
    """Follow a run from its first event, across restarts of the server, and exit with what became of it.

    For people it is told on standard error. With -o json every event is one object a line on standard output.
    """
    bounds = Bounds(until, parse_duration(wait_timeout, "--wait-timeout") if wait_timeout else None)
    return await follow_run(perdure, names.run(run), bounds, output)


@app.command()
@connected
async def interrupt(
    perdure: Client, run: RunName, reason: Reason = "", yes: Yes = False, output: Output = Format.TABLE
) -> None:
    """Stop a run so that it can be continued. Where an executor holds it, it stops as soon as that has let go."""
    name = names.run(run)
    confirm_where_possible(f"Interrupt {name}?", yes)
    _print_stopped(await perdure.runs.InterruptRun(InterruptRunRequest(name=name, reason=reason)), output)


@app.command()
@connected
async def cancel(
    perdure: Client, run: RunName, reason: Reason = "", yes: Yes = False, output: Output = Format.TABLE
) -> None:
    """Stop a run for good."""
    name = names.run(run)
    confirm_where_possible(f"Cancel {name} for good?", yes)
    _print_stopped(await perdure.runs.CancelRun(CancelRunRequest(name=name, reason=reason)), output)


def _print_stopped(run: Run, output: Format) -> None:
    print_one(run, output)
    tell_doubts([run])


add_explaining_command(app)
add_pausing_commands(app)
add_signalling_commands(app)
add_recovery_commands(app)
