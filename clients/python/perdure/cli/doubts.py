"""Effects in doubt that a run leaves behind where it is stopped."""

from collections.abc import Iterable

import typer

from perdure.cli.names import bare
from perdure.cli.printing.words import counted
from perdure.v1.runs_pb2 import Run


def tell_doubts(runs: Iterable[Run]) -> None:
    """Says of each run how many of its effects are in doubt, and how to look at them; nothing where there are none."""
    for run in runs:
        doubts = run.effects_in_doubt
        if doubts:
            are = "is" if doubts == 1 else "are"
            look = f"perdure runs recovery {bare(run.name)}"
            typer.echo(f"{counted(doubts, 'effect')} {are} in doubt: {look}", err=True)
