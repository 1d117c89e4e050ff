"""`perdure status`: whether the server is well, and what waits for whom."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final

import typer

from perdure.cli.auth import caller_words
from perdure.cli.connection import connected
from perdure.cli.durations import parse_duration
from perdure.cli.exit_codes import ExitCode
from perdure.cli.first_answer import PAUSE_SECONDS
from perdure.cli.health import WAYS_OUT, failing, read_health
from perdure.cli.lazy import verb
from perdure.cli.options import Output
from perdure.cli.pausing import hold_steps
from perdure.cli.printing.formats import Format, as_dict, print_document
from perdure.cli.printing.words import counted, enum_word
from perdure.cli.runtime import Runtime, read_runtime, runtime_document
from perdure.client import CallFailed, Client
from perdure.v1 import server_pb2
from perdure.v1.fact_events_pb2 import HOLD_CAUSE_OPERATOR
from perdure.v1.identities_pb2 import Identity, WhoAmIRequest
from perdure.v1.run_states_pb2 import RUN_STATE_PAUSED
from perdure.v1.runs_pb2 import RUN_CONDITION_HELD, RUN_CONDITION_IN_DOUBT, ListRunsRequest, Run

app = verb()

_MOST_COUNTED: Final = 500
"""Runs that are looked at; where there are more, the counts say so."""


_MOST_NAMED: Final = 5
"""Paused runs of which it is said who paused them and why."""


@dataclass(frozen=True, slots=True)
class Held:
    """Runs that only a person makes go on, other than by deciding an approval."""

    runs: int
    doubts: int
    paused: tuple[Run, ...]
    """Those of them that an operator has paused, whatever else holds them."""
    doubts_left: int
    """Effects in doubt of runs that have ended."""
    all_counted: bool
    """Whether every such run was looked at."""

    def __str__(self) -> str:
        more = "" if self.all_counted else f"; counted among the latest {_MOST_COUNTED}"
        return (
            f"{counted(self.runs, 'run')} ({counted(self.doubts, 'effect')} in doubt, {len(self.paused)} paused{more})"
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How a server stands."""

    health: Mapping[str, str]
    runtime: Runtime
    held: Held
    caller: Identity = field(default_factory=Identity)

    @property
    def ill(self) -> list[str]:
        """What serving depends on and does not serve. Whether there are executors is said by their list, the newest."""
        return _ill(self.health) + ([] if self.runtime.live else ["executors"])


@app.command()
@connected
async def status(
    perdure: Client,
    wait: Annotated[
        str | None,
        typer.Option("--wait", metavar="DURATION", help="Wait until it is well, so long at most: 30s, 5m."),
    ] = None,
    output: Output = Format.TABLE,
) -> ExitCode:
    """Say whether the server is well, how many executors take work, and what waits for them and for people.

    With --wait it exits with 6 or 7 where nothing answers, or not everything serves, when the time is over.
    """
    patience = parse_duration(wait, "--wait") if wait else timedelta(0)
    standing = await _look(perdure, patience, output)
    if output is Format.TABLE:
        show_standing(standing)
    else:
        print_document(_document(standing), output)
    return ExitCode.DEADLINE if wait and standing.ill else ExitCode.OK


async def _look(perdure: Client, patience: timedelta, output: Format) -> Standing:
    """How the server stands, as soon as it is well or the patience is over. Raises CallFailed."""
    until, told = time.monotonic() + patience.total_seconds(), False
    while True:
        over = time.monotonic() >= until
        try:
            standing = await _look_once(perdure, show=over and output is Format.TABLE)
            if over or not standing.ill:
                return standing
        except CallFailed as failure:
            if over or not failure.lost:
                raise
        if not told:
            typer.echo("the server is not well yet; waiting for it", err=True)
            told = True
        await asyncio.sleep(PAUSE_SECONDS)


async def _look_once(perdure: Client, *, show: bool) -> Standing:
    health = await read_health(perdure)
    try:
        caller = await perdure.identity.WhoAmI(WhoAmIRequest())
        return Standing(health, await read_runtime(perdure), await _read_held(perdure), caller)
    except CallFailed:
        if show:
            # A server that cannot read its store answers nothing else.
            _print_health(_ill(health))
        raise


def show_standing(standing: Standing) -> None:
    """Prints it for people, with what to do on standard error."""
    _print_health(standing.ill)
    runtime, server, live = standing.runtime, standing.runtime.server, standing.runtime.live
    taken, slots = sum(executor.held_runs for executor in live), sum(executor.slots for executor in live)
    callers = _authentication(server, standing.caller)
    typer.echo(f"server:     {server.version}, {server.store}, {_durability(server)}, {callers}")
    typer.echo(f"executors:  {len(live)} live, {taken} of {counted(slots, 'slot')} taken")
    typer.echo(f"queue:      {_waiting(server.queued_runs, 'run')} for an executor")
    typer.echo(f"approvals:  {_waiting(server.pending_approvals)} for a person")
    typer.echo(f"held:       {standing.held}")
    typer.echo(f"ended:      {counted(standing.held.doubts_left, 'effect')} in doubt of runs that have ended")
    _advise(runtime, standing.held)


def _ill(health: Mapping[str, str]) -> list[str]:
    return [name for name in failing(health) if name != "executors"]


def _print_health(ill: list[str]) -> None:
    typer.echo(
        "\n".join(f"health:     {name} {'do' if name == 'executors' else 'does'} not serve" for name in ill)
        or "health:     well"
    )
    # What needs the store serves again when that does.
    for name in ["store"] if "store" in ill else ill:
        typer.echo(f"{name}: {WAYS_OUT[name]}", err=True)


async def _read_held(perdure: Client) -> Held:
    conditions = [RUN_CONDITION_HELD, RUN_CONDITION_IN_DOUBT]
    kept = await perdure.runs.ListRuns(ListRunsRequest(conditions=conditions, page_size=_MOST_COUNTED))
    held = [run for run in kept.runs if run.state == RUN_STATE_PAUSED]
    return Held(
        runs=len(held),
        doubts=sum(run.effects_in_doubt for run in held),
        paused=tuple(run for run in held if any(hold.cause == HOLD_CAUSE_OPERATOR for hold in run.holds)),
        doubts_left=sum(run.effects_in_doubt for run in kept.runs if run.ended_sequence),
        all_counted=not kept.next_page_token,
    )


def _document(standing: Standing) -> dict[str, Any]:
    """What `-o json` prints; the keys are on the page about the command line, and stay."""
    runtime, held = standing.runtime, standing.held
    return {
        "health": dict(standing.health),
        "caller": as_dict(standing.caller),
        "queued_runs": runtime.server.queued_runs,
        "open_approvals": runtime.server.pending_approvals,
        "held_runs": held.runs,
        "effects_in_doubt": held.doubts,
        "paused_runs": len(held.paused),
        "doubts_of_ended_runs": held.doubts_left,
        "all_counted": held.all_counted,
        **runtime_document(runtime),
    }


def _waiting(number: int, noun: str = "") -> str:
    return f"{counted(number, noun) if noun else number} {'waits' if number == 1 else 'wait'}"


def _durability(server: server_pb2.ServerInfo) -> str:
    return f"{enum_word(server_pb2.Durability.DESCRIPTOR, server.durability)} durability"


def _authentication(server: server_pb2.ServerInfo, caller: Identity) -> str:
    if server.authentication == server_pb2.AUTHENTICATION_REQUIRED:
        return f"callers must say who they are; you are {caller_words(caller)}"
    return "open to everybody who reaches it"


def _advise(runtime: Runtime, held: Held) -> None:
    if runtime.server.pending_approvals:
        typer.echo("look at what waits for you: perdure approvals list", err=True)
    if held.runs:
        typer.echo("look at what is held: perdure runs list --state paused --because held --because in-doubt", err=True)
    for run in held.paused[:_MOST_NAMED]:
        for step in hold_steps(run):
            typer.echo(step, err=True)
    if held.doubts_left:
        typer.echo("look at what was left in doubt: perdure runs list --because in-doubt", err=True)
