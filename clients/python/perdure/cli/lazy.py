"""Commands whose modules are imported when they are called, so that help and completion come at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

_WHOLE: Final = 10_000
"""Signs of a sentence at most."""


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command by the module that has it, as `app`, and the line that help shows."""

    module: str
    help: str


class LazyGroup(TyperGroup):
    """A group that knows its commands by a table, and imports one when it is called."""

    table: ClassVar[Mapping[str, Lazy]]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, lazy in self.table.items():
            self.add_command(TyperCommand(name, help=lazy.help, rich_markup_mode=None))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that is called, imported; what stands in the table was its help only."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is None:
            return name, command, rest
        return name, get_command(import_module(self.table[name].module).app), rest

    def invoke(self, ctx: Any) -> Any:
        """Calls a command. What the parser says of a wrong value is left without the name of its exception."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


class Noun(TyperGroup):
    """The group of one noun, whose help says of each command the whole of its first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the list of commands."""
        rows = [(name, command.get_short_help_str(_WHOLE)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def noun(help: str) -> typer.Typer:
    """The commands of one noun. A noun stays a group even where it has one command only."""
    app = typer.Typer(cls=Noun, help=help, no_args_is_help=True, rich_markup_mode=None, add_completion=False)
    app.callback()(_nothing)
    return app


def verb() -> typer.Typer:
    """A command that stands alone."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)


def _nothing() -> None:
    pass
