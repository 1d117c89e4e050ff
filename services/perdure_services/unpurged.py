"""Runs that were deleted and whose events are there yet: said wherever a store is looked at."""

import typer

from perdure.cli.printing.words import counted
from perdure_control_plane.domain.retention import Unpurged


def tell_unpurged(left: Unpurged) -> None:
    """Says on standard error what is left of deletions, where anything is."""
    if left.events:
        typer.echo(f"{unpurged_words(left)} still to be purged: {WHO_PURGES}", err=True)


def unpurged_words(left: Unpurged) -> str:
    """`3 events of 1 deleted run are`, or `is`."""
    verb = "is" if left.events == 1 else "are"
    return f"{counted(left.events, 'event')} of {counted(left.runs, 'deleted run')} {verb}"


WHO_PURGES = "perdure-server retention --apply does it, and so does a server that has retention_days"
