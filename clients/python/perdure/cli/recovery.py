"""`perdure runs recovery|continue|resolve`: what a run that stands still needs, and giving it."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from google.protobuf.message import Message

from perdure.cli import names
from perdure.cli.asking import confirm
from perdure.cli.connection import connected
from perdure.cli.durations import parse_duration
from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused
from perdure.cli.json_text import json_object
from perdure.cli.options import Output, Reason, RunName, Yes
from perdure.cli.printing.descriptions import describe
from perdure.cli.printing.formats import Format, print_one
from perdure.cli.printing.words import enum_word
from perdure.cli.waiting import waiting_steps
from perdure.client import Client
from perdure.v1.fact_events_pb2 import (
    RESOLUTION_KIND_DONE,
    RESOLUTION_KIND_FAILED,
    RESOLUTION_KIND_RETRY,
)
from perdure.v1.run_recovery_pb2 import EffectInDoubt, Recovery
from perdure.v1.run_states_pb2 import RUN_STATE_CANCELLED, RUN_STATE_COMPLETED, RunState
from perdure.v1.runs_pb2 import (
    ContinueRunRequest,
    GetRecoveryRequest,
    ResolveEffectRequest,
    Run,
)


class Resolution(StrEnum):
    """What an operator can say about an effect in doubt."""

    DONE = "done"
    RETRY = "retry"
    FAILED = "failed"


_KINDS = {
    Resolution.DONE: RESOLUTION_KIND_DONE,
    Resolution.RETRY: RESOLUTION_KIND_RETRY,
    Resolution.FAILED: RESOLUTION_KIND_FAILED,
}


def add_recovery_commands(app: typer.Typer) -> None:
    """Adds the commands to those of runs."""
    app.command("recovery")(get_recovery)
    app.command("continue")(continue_run)
    app.command("resolve")(resolve_effect)


@connected
async def get_recovery(perdure: Client, run: RunName, output: Output = Format.TABLE) -> None:
    """Say whether and how a run can go on: from where, what is done, what is in doubt, and what it needs or waits for."""
    found = await perdure.runs.GetRecovery(GetRecoveryRequest(name=names.run(run)))
    print_one(found, output)
    for step in [*_steps(found), *await waiting_steps(perdure, found.run)]:
        typer.echo(step, err=True)


@connected
async def continue_run(
    perdure: Client,
    run: RunName,
    answers_sequence: Annotated[
        int,
        typer.Option("--answers-sequence", min=0, help="The end or hold that this answers; left out, the present one."),
    ] = 0,
    reopen: Annotated[
        str,
        typer.Option("--reopen", metavar="ATTEMPT", help="The attempt to open again; left out, the one it ended at."),
    ] = "",
    extra_attempts: Annotated[
        int, typer.Option("--extra-attempts", min=0, help="Attempts granted to it, the opened one included; 0 means 1.")
    ] = 0,
    time_limit: Annotated[
        str | None,
        typer.Option(
            "--timeout", metavar="DURATION", help="New time to the run's deadline; one that timed out needs it."
        ),
    ] = None,
    reason: Reason = "",
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Make a run go on that has ended without success, or is held because too much went wrong with it.

    Shows where it would go on, and asks. What the run needs is filled in from its recovery where it is left out.
    """
    request = ContinueRunRequest(name=names.run(run), extra_attempts=extra_attempts, reason=reason)
    if time_limit is not None:
        request.timeout.FromTimedelta(parse_duration(time_limit, "--timeout"))
    found = await perdure.runs.GetRecovery(GetRecoveryRequest(name=request.name))
    request.answers_sequence = answers_sequence or found.answers_sequence
    request.reopen = reopen or found.reopens
    if found.can_continue:
        _show(found)
        confirm("Continue it?", yes)
    elif not request.answers_sequence:
        raise _cannot_continue(found)
    _print_moved(await perdure.runs.ContinueRun(request), output)


@connected
async def resolve_effect(
    perdure: Client,
    run: RunName,
    resolution: Annotated[
        Resolution,
        typer.Option(
            "--as",
            help="It happened (done), do it again as a new effect (retry), or it did not happen, or not well (failed).",
        ),
    ],
    attempt: Annotated[
        str, typer.Argument(metavar="ATTEMPT", help="The attempt in doubt, as node:visit#attempt; one alone is meant.")
    ] = "",
    output_json: Annotated[
        str, typer.Option("--output-json", metavar="JSON", help="With --as done: the node's output, a JSON object.")
    ] = "",
    reason: Reason = "",
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Settle an effect in doubt: say whether it happened. Nobody else knows, and it is never repeated by itself.

    Shows what is known, the latest report of the executor that was lost included, and asks.
    """
    content = json.dumps(json_object(output_json, "--output-json")).encode() if output_json else b""
    found = await perdure.runs.GetRecovery(GetRecoveryRequest(name=names.run(run)))
    effect = _effect(found, attempt)
    _show(effect)
    confirm(f"Resolve it as {resolution}?", yes)
    request = ResolveEffectRequest(
        name=found.run,
        instance=effect.instance,
        resolution=_KINDS[resolution],
        output=content,
        report_sequence=effect.report_sequence,
        reason=reason,
    )
    _print_moved(await perdure.runs.ResolveEffect(request), output)


def _show(message: Message) -> None:
    typer.echo("\n".join(describe(message, datetime.now(UTC))), err=True)


def _print_moved(run: Run, output: Format) -> None:
    print_one(run, output)
    typer.echo(f"follow it: perdure runs watch {names.bare(run.name)}", err=True)


def _effect(found: Recovery, attempt: str) -> EffectInDoubt:
    """The one effect that is meant. Raises Refused where there is none, or several."""
    effects = [effect for effect in found.in_doubt if attempt in ("", effect.instance)]
    if len(effects) == 1:
        return effects[0]
    known = ", ".join(effect.instance for effect in found.in_doubt)
    if not effects:
        message = f"{attempt or found.run} has no effect in doubt" + (f"; these have: {known}" if known else "")
        raise Refused(ExitCode.CONFLICT, "NOT_IN_DOUBT", message, f"perdure runs recovery {_id(found)}")
    raise Refused(
        ExitCode.USAGE,
        "FIELD_INVALID",
        f"several effects are in doubt: {known}",
        "say which: perdure runs resolve RUN ATTEMPT",
    )


def _cannot_continue(found: Recovery) -> Refused:
    state, look = enum_word(RunState.DESCRIPTOR, found.state), f"perdure runs recovery {_id(found)}"
    if found.state in (RUN_STATE_COMPLETED, RUN_STATE_CANCELLED):
        why, step = "which is final: it cannot be continued", f"perdure runs get {_id(found)}"
    elif "resume" in found.needs:
        why, step = "and is paused by an operator, who resumes it", f"perdure runs resume {_id(found)}"
    elif found.in_doubt:
        why, step = "and has effects in doubt, which are settled first", next(iter(_steps(found)), look)
    else:
        why, step = "and needs no continue" if found.goes_on_by_itself else "and cannot be continued", look
    return Refused(ExitCode.CONFLICT, "RUN_STATE", f"{found.run} is {state}, {why}", step)


def _steps(found: Recovery) -> list[str]:
    steps = [
        f"perdure runs resolve {_id(found)} '{effect.instance}' --as done|retry|failed" for effect in found.in_doubt
    ]
    if found.can_continue:
        needed = " --timeout DURATION" if "timeout" in found.needs else ""
        steps.append(f"perdure runs continue {_id(found)}{needed}")
    return steps


def _id(found: Recovery) -> str:
    return names.bare(found.run)
