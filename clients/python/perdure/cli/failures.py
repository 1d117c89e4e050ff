"""Says what went wrong, on standard error: the reason, every field at fault, and what to do next."""

import os
import pathlib

import grpc
import typer

from perdure.cli.exit_codes import ExitCode, exit_code
from perdure.cli.hints import hint
from perdure.cli.printing.words import one_line, printable
from perdure.client import CallFailed


class Refused(Exception):
    """A command that cannot be done as it was asked; the message is one sentence and `next_step` says what can.

    The reason is the published one where a server would refuse it for the same, else a word of the same form.
    """

    def __init__(self, code: ExitCode, reason: str, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.next_step = next_step


def report_failure(failure: CallFailed, address: str) -> ExitCode:
    """Prints a failed call and returns the exit code it stands for."""
    faults = [f"{fault.field}: {fault.description}" for fault in failure.faults]
    told, details = failure.message, faults
    if not failure.reason and failure.code is grpc.StatusCode.UNAVAILABLE:
        told, details = f"nothing answers at {address}", [failure.message]
    elif not failure.reason and failure.code is grpc.StatusCode.UNIMPLEMENTED:
        told, details = f"what answers at {address} is no Perdure server", [failure.message]
    elif faults == [told]:
        details = []
    elif told == "; ".join(faults):
        told = f"{len(faults)} fields are not acceptable"
    typer.secho(f"Error: {printable(told)} ({failure.reason or failure.code.name})", fg="red", err=True)
    for detail in details:
        typer.echo(f"  {one_line(detail)}", err=True)
    _next(hint(failure))
    return exit_code(failure)


def report_refusal(refusal: Refused) -> ExitCode:
    """Prints why a command was not done and returns the exit code it stands for."""
    typer.secho(f"Error: {printable(str(refusal))} ({refusal.reason})", fg="red", err=True)
    _next(refusal.next_step)
    return refusal.code


def report_unwritable(error: OSError) -> ExitCode:
    """Says that standard output takes no more, unless its reader has gone and wants to hear nothing."""
    # The interpreter flushes both at its end, and would complain about them again.
    with pathlib.Path(os.devnull).open("wb") as nowhere:
        for stream in (1, 2) if isinstance(error, BrokenPipeError) else (1,):
            os.dup2(nowhere.fileno(), stream)
    if isinstance(error, BrokenPipeError):
        return ExitCode.READER_GONE
    typer.secho(f"Error: what was found cannot be written: {error.strerror}", fg="red", err=True)
    return ExitCode.FAILURE


def _next(step: str) -> None:
    if step:
        typer.echo(f"Next:  {printable(step)}", err=True)
