"""How a program ends that cannot go on."""

import sys
from typing import Final, NoReturn

import typer

UNUSABLE: Final = 2
"""Exit code for settings, data or keys that cannot be used as they are."""

AWAY = 69
"""Exit code for a database that cannot be reached: whoever starts programs should start this one again."""


def give_up(error: Exception, code: int = UNUSABLE) -> NoReturn:
    """Says the one sentence that the error has, and ends the program."""
    typer.echo(f"perdure-server: {error}", err=True)
    sys.exit(code)
