"""Asks people before something is done that cannot be taken back."""

import sys

import typer

from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused


def confirm(question: str, yes: bool) -> None:
    """Returns where the answer is yes. Raises Refused where it is no, or nobody can be asked and --yes is not given."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(ExitCode.USAGE, "nobody can be asked here", "look at what is shown above, and add --yes to do it")
    if not typer.confirm(question, err=True):
        raise Refused(ExitCode.FAILURE, "nothing was done")
