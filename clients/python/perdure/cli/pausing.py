"""`perdure runs|flows pause|resume`: holding what runs, and letting it go on."""

from datetime import UTC, datetime

import typer

from perdure.cli import names
from perdure.cli.asking import can_ask, confirm, confirm_where_possible
from perdure.cli.connection import connected
from perdure.cli.lists import LARGEST_PAGE
from perdure.cli.options import FlowName, Output, Reason, RunName, Yes
from perdure.cli.printing.formats import Format, print_one
from perdure.cli.printing.words import age, because, enum_word, one_line
from perdure.client import Client
from perdure.v1.fact_events_pb2 import HOLD_CAUSE_OPERATOR, HoldCause
from perdure.v1.flows_pb2 import PauseFlowRequest, ResumeFlowRequest
from perdure.v1.run_recovery_pb2 import RunHold
from perdure.v1.run_states_pb2 import RUN_STATE_PAUSED
from perdure.v1.runs_pb2 import (
    RUN_CONDITION_HELD,
    GetRunRequest,
    ListRunsRequest,
    PauseRunRequest,
    ResumeRunRequest,
    Run,
)


def add_pausing_commands(app: typer.Typer) -> None:
    """Adds the commands to those of runs."""
    app.command("pause")(pause_run)
    app.command("resume")(resume_run)


def add_flow_pausing_commands(app: typer.Typer) -> None:
    """Adds the commands to those of flows."""
    app.command("pause")(pause_flow)
    app.command("resume")(resume_flow)


@connected
async def pause_flow(
    perdure: Client, flow: FlowName, reason: Reason = "", yes: Yes = False, output: Output = Format.TABLE
) -> None:
    """Hold every run of a flow until somebody resumes it. Where an executor has one, what has begun ends first."""
    name = names.flow(flow)
    confirm_where_possible(f"Pause {name}?", yes)
    print_one(await perdure.flows.PauseFlow(PauseFlowRequest(name=name, reason=reason)), output)


@connected
async def resume_flow(
    perdure: Client, flow: FlowName, reason: Reason = "", yes: Yes = False, output: Output = Format.TABLE
) -> None:
    """Let every run of a flow go on that an operator has paused, alone or with the flow.

    Whoever sits at a terminal is shown who paused each and why, and asked.
    """
    name = names.flow(flow)
    if can_ask() and not yes:
        held = ListRunsRequest(flow=name, conditions=[RUN_CONDITION_HELD], page_size=LARGEST_PAGE)
        for run in (await perdure.runs.ListRuns(held)).runs:
            for hold in run.holds:
                typer.echo(f"{run.name}: {hold_line(hold)}", err=True)
        confirm(f"Resume {name}?", yes)
    print_one(await perdure.flows.ResumeFlow(ResumeFlowRequest(name=name, reason=reason)), output)


@connected
async def pause_run(
    perdure: Client, run: RunName, reason: Reason = "", yes: Yes = False, output: Output = Format.TABLE
) -> None:
    """Hold a run until somebody resumes it. Where an executor has it, what has begun ends first, and nothing begins.

    Decisions are still taken, and its deadlines still count.
    """
    name = names.run(run)
    confirm_where_possible(f"Pause {name}?", yes)
    paused = await perdure.runs.PauseRun(PauseRunRequest(name=name, reason=reason))
    print_one(paused, output)
    for line in paused_before(paused, reason):
        typer.echo(line, err=True)
    if paused.state != RUN_STATE_PAUSED:
        typer.echo(
            f"what has begun ends first; follow it: perdure runs watch {names.bare(name)} --until held", err=True
        )


@connected
async def resume_run(
    perdure: Client, run: RunName, reason: Reason = "", yes: Yes = False, output: Output = Format.TABLE
) -> None:
    """Let a run go on that an operator has paused, whoever that was. What else holds it stays, and is shown.

    Whoever sits at a terminal is shown who paused it and why, and asked.
    """
    request = ResumeRunRequest(name=names.run(run), reason=reason)
    if can_ask() and not yes:
        found = await perdure.runs.GetRun(GetRunRequest(name=request.name))
        for hold in found.holds:
            typer.echo(hold_line(hold), err=True)
        confirm(f"Resume {request.name}?", yes)
    resumed = await perdure.runs.ResumeRun(request)
    print_one(resumed, output)
    for step in hold_steps(resumed):
        typer.echo(step, err=True)


def paused_before(run: Run, reason: str) -> list[str]:
    """What to say where a pause stood already, and was given another reason than this."""
    own = [hold for hold in run.holds if hold.cause == HOLD_CAUSE_OPERATOR and reason and hold.reason != reason]
    return [f"it was paused already, so this reason is not kept; {hold_line(hold)}" for hold in own]


def hold_steps(run: Run) -> list[str]:
    """For each hold of a run, who placed it and why, and the command that ends it."""
    return [f"{hold_line(hold)}: {hold_step(hold, names.bare(run.name))}" for hold in run.holds]


def hold_line(hold: RunHold) -> str:
    """A hold on one line: since when it stands, by whom, and why."""
    return one_line(f"held for {age(hold.place_time, datetime.now(UTC))}, {hold_words(hold)}")


def hold_words(hold: RunHold) -> str:
    """By whom a hold was placed, and why."""
    if hold.cause == HOLD_CAUSE_OPERATOR:
        return because(f"paused by {hold.actor}", hold.reason)
    return f"because of {enum_word(HoldCause.DESCRIPTOR, hold.cause)}"


def hold_step(hold: RunHold, run: str) -> str:
    """The command that releases a hold of a run, or says how it is released."""
    return f"perdure runs {'resume' if hold.cause == HOLD_CAUSE_OPERATOR else 'recovery'} {run}"
