"""Asks people at a terminal."""

import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import typer

from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused

Answer = TypeVar("Answer")

_ADD_YES: Final = "look at what is shown above, and add --yes to do it"


def can_ask() -> bool:
    """Whether somebody sits at a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, yes: bool) -> None:
    """Returns where the answer is yes. Raises Refused where it is no, or nobody can be asked and --yes is not given."""
    if yes:
        return
    if not can_ask():
        raise Refused(ExitCode.USAGE, "NOT_CONFIRMED", "nobody can be asked here", _ADD_YES)
    if not _asked(lambda: typer.confirm(question, err=True), ""):
        raise Refused(ExitCode.FAILURE, "DECLINED", "nothing was done")


def confirm_where_possible(question: str, yes: bool) -> None:
    """Asks whoever sits at a terminal, for what stops work or refuses it; anywhere else it is done as it was asked for.

    Raises Refused where the answer is no.
    """
    if can_ask():
        confirm(question, yes)


def choose(question: str, answers: Sequence[str], later: str) -> str:
    """One of the answers, which may be given by its beginning. Raises Refused, with how to do it later."""
    while True:
        given = ask(f"{question} ({', '.join(answers)})", later).strip().lower()
        chosen = [answer for answer in answers if given and answer.startswith(given)]
        if len(chosen) == 1:
            return chosen[0]
        typer.echo(f"say one of: {', '.join(answers)}", err=True)


def ask(question: str, later: str) -> str:
    """A line of text that is not empty. Raises Refused, with how to do it later, where the person leaves."""
    return str(_asked(lambda: typer.prompt(question, err=True), later))


def _asked(prompt: Callable[[], Answer], later: str) -> Answer:
    # The event loop would take Ctrl-C for itself and wait for the answer all the same.
    loops_own = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return prompt()
    except typer.Abort as abort:
        typer.echo(err=True)
        raise Refused(ExitCode.INTERRUPTED, "NOT_CONFIRMED", "nothing was done", later) from abort
    finally:
        signal.signal(signal.SIGINT, loops_own)
