"""Commands that call a server: `connected` gives them a client and turns what goes wrong into an exit code."""

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer

from perdure.addresses import DEFAULT_SERVER, server_address
from perdure.cli.chosen import Chosen
from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused, report_failure, report_refusal, report_unexpected, report_unwritable
from perdure.cli.printing.formats import Format
from perdure.cli.settings import read_settings
from perdure.client import CallFailed, Client
from perdure.keys import KeyUnusable, key_metadata, read_key_file

P = ParamSpec("P")

ATTEMPTS: Final = 3
"""Attempts of a call that no server answers, within a second: commands that follow wait longer, at `first_answer`."""

KEY: Final = "PERDURE_KEY"
"""Variable with the key that the server knows the caller by. No flag is that: others see what a command is given."""


ServerOption = Annotated[
    str | None, typer.Option("--server", help="Address of the server.", metavar="HOST:PORT", hidden=True)
]


def connected(command: Callable[Concatenate[Client, P], Awaitable[ExitCode | None]]) -> Callable[..., None]:
    """Makes a command out of a coroutine function whose first argument is a client.

    The command has the options of the function, and `--server` again, so that it may stand behind the command too.
    """

    def called(*, context: typer.Context, server: str | None = None, **options: Any) -> None:
        chosen: Chosen = context.obj
        settings = read_settings(chosen.config)
        address = _address(server or chosen.server or settings.server or DEFAULT_SERVER)
        if chosen.output is not None and not _given(context, "COMMANDLINE"):
            options["output"] = _format(chosen.output)
        elif settings.output is not None and not _given(context, "COMMANDLINE", "ENVIRONMENT"):
            options["output"] = settings.output
        key = _key(chosen)
        format = options.get("output", Format.TABLE)
        try:
            code = asyncio.run(_run(address, key, format, functools.partial(command, **options)))
        except OSError as error:
            code = report_unwritable(error, format)
        except (typer.TyperException, typer.Exit, typer.Abort):
            raise  # told by the parser
        except Exception as error:  # noqa: BLE001  # told in a sentence, which no traceback is
            code = report_unexpected(error, format)
        raise typer.Exit(code)

    own = [
        inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
        *list(inspect.signature(command).parameters.values())[1:],
        inspect.Parameter("server", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ServerOption),
    ]
    functools.update_wrapper(called, command)
    del called.__wrapped__  # type: ignore[attr-defined]  # the parser is to read the signature made here
    called.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]  # read by `inspect.signature`
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in own}
    return called


def _address(text: str) -> str:
    try:
        return server_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--server'") from error


def _key(chosen: Chosen) -> str:
    """What the server is to know the caller by; empty where nothing is given."""
    try:
        if chosen.key_file is not None:
            return read_key_file(chosen.key_file)
        key = os.environ.get(KEY, "").strip()
        key_metadata(key)
    except KeyUnusable as error:
        hint = "'--key-file'" if chosen.key_file is not None else KEY
        raise typer.BadParameter(str(error), param_hint=hint) from error
    return key


def _format(word: str) -> Format:
    try:
        return Format(word)
    except ValueError:
        raise typer.BadParameter(f"{word!r} is not one of {', '.join(Format)}", param_hint="'-o'") from None


def _given(context: typer.Context, *where: str) -> bool:
    """Whether a format is said for this command itself, in one of so many places."""
    source = context.get_parameter_source("output")
    return source is not None and source.name in where


async def _run(
    address: str, key: str, format: Format, command: Callable[[Client], Awaitable[ExitCode | None]]
) -> ExitCode:
    try:
        async with Client(address, key=key, attempts=ATTEMPTS) as client:
            return await command(client) or ExitCode.OK
    except CallFailed as failure:
        return report_failure(failure, address, format)
    except Refused as refusal:
        return report_refusal(refusal, format)
