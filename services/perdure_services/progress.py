"""How far a long look at a store has come, told on the terminal now and then."""

import time
from typing import Final

import typer

from perdure.cli.printing.words import counted
from perdure.cli.verdicts import Examined

EVERY_SECONDS: Final = 5.0


class Progress:
    """Says a line to standard error every few seconds, and nothing where it does not take as long."""

    def __init__(self, events: int) -> None:
        """`events` are those that there are in all."""
        self._events = events
        self._due = time.monotonic() + EVERY_SECONDS

    def say(self, examined: Examined) -> None:
        """Something more was looked at."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + EVERY_SECONDS
        found = len(examined.violations)
        so_far = counted(found, "violation") if found else "no violation"
        typer.echo(f"{examined.events:,} of {self._events:,} events, {so_far} so far", err=True)
