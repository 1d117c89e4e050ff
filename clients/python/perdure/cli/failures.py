"""Says what went wrong, on standard error: the reason, every field at fault, and what to do next.

For people in lines; with `-o json` as one JSON object in a line.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import grpc
import typer

from perdure.cli.exit_codes import ExitCode, exit_code
from perdure.cli.hints import hint
from perdure.cli.printing.formats import Format
from perdure.cli.printing.words import one_line, printable
from perdure.client import CallFailed, FieldFault

TRACEBACK: Final = "PERDURE_TRACEBACK"
"""Variable under which what nobody expected is shown with where it happened."""


class Refused(Exception):
    """A command that cannot be done as it was asked; the message is one sentence and `next_step` says what can.

    The reason is the published one where a server would refuse it for the same, else one of the command line's own,
    which are on the page about errors.
    """

    def __init__(self, code: ExitCode, reason: str, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.next_step = next_step


def report_failure(failure: CallFailed, address: str, format: Format = Format.TABLE) -> ExitCode:
    """Prints a failed call and returns the exit code it stands for."""
    faults = [f"{fault.field}: {fault.description}" for fault in failure.faults]
    message, details = failure.message, faults
    if not failure.reason and failure.code is grpc.StatusCode.UNAVAILABLE:
        message, details = f"nothing answers at {address}", [failure.message]
    elif not failure.reason and failure.code is grpc.StatusCode.UNIMPLEMENTED:
        message, details = f"what answers at {address} is no Perdure server", [failure.message]
    elif faults == [message]:
        details = []
    elif message == "; ".join(faults):
        message = f"{len(faults)} fields are not acceptable"
    reason = failure.reason or failure.code.name
    _tell(_Error(reason, message, hint(failure), details, failure.faults, failure.metadata), format)
    return exit_code(failure)


def report_refusal(refusal: Refused, format: Format = Format.TABLE) -> ExitCode:
    """Prints why a command was not done and returns the exit code it stands for."""
    _tell(_Error(refusal.reason, str(refusal), refusal.next_step), format)
    return refusal.code


def report_unwritable(error: OSError, format: Format = Format.TABLE) -> ExitCode:
    """Says that standard output takes no more, unless its reader has gone and wants to hear nothing."""
    # The interpreter flushes both at its end, and would complain about them again.
    with pathlib.Path(os.devnull).open("wb") as nowhere:
        for stream in (1, 2) if isinstance(error, BrokenPipeError) else (1,):
            os.dup2(nowhere.fileno(), stream)
    if isinstance(error, BrokenPipeError):
        return ExitCode.READER_GONE
    message = f"what was found cannot be written to standard output: {error.strerror}"
    _tell(_Error("NOT_WRITABLE", message, "make room there, or write it elsewhere, and repeat"), format)
    return ExitCode.FAILURE


def report_unexpected(error: Exception, format: Format = Format.TABLE) -> ExitCode:
    """Says that the program itself has failed. Raises the error as it is where a traceback is asked for."""
    if os.environ.get(TRACEBACK):
        raise error
    message = f"perdure itself has failed: {type(error).__name__}: {error}"
    _tell(_Error("UNEXPECTED", one_line(message, 500), f"report it, with what it prints under {TRACEBACK}=1"), format)
    return ExitCode.FAILURE


@dataclass(frozen=True, slots=True)
class _Error:
    """What is told of an error, to people and to programs."""

    reason: str
    message: str
    next: str
    details: list[str] = field(default_factory=list)
    """Lines for people, below the message."""
    fields: tuple[FieldFault, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def _tell(error: _Error, format: Format) -> None:
    if format is Format.JSON:
        typer.echo(json.dumps(_document(error)), err=True)
        return
    typer.secho(f"Error: {printable(error.message)} ({error.reason})", fg="red", err=True)
    for detail in error.details:
        typer.echo(f"  {one_line(detail)}", err=True)
    if error.next:
        typer.echo(f"Next:  {printable(error.next)}", err=True)


def _document(error: _Error) -> dict[str, object]:
    """The keys are on the page about the command line, and stay."""
    return {
        "reason": error.reason,
        "message": error.message,
        "fields": [{"field": fault.field, "description": fault.description} for fault in error.fields],
        "metadata": dict(error.metadata),
        "next": error.next,
    }
