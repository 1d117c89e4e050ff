"""Commands that call a server: `connected` gives them a client and turns what goes wrong into an exit code."""

import asyncio
import functools
import inspect
import os
import pathlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import grpc
import typer

from perdure.addresses import DEFAULT_SERVER, server_address
from perdure.cli.chosen import Chosen
from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused, report_failure, report_refusal, report_unexpected, report_unwritable
from perdure.cli.payload_keys import chosen_codec
from perdure.cli.printing.formats import Format
from perdure.cli.printing.opening import opening_with
from perdure.cli.profiles import USUAL_NAME, Profile, chosen_profile
from perdure.cli.settings import Settings, read_settings
from perdure.client import CallFailed, Client
from perdure.client.tls import Tls, TlsUnusable
from perdure.encryption.codec import Codec
from perdure.keys import KeyUnusable, key_metadata, read_key_file

P = ParamSpec("P")

ATTEMPTS: Final = 3
"""Attempts of a call that no server answers, within a second: commands that follow wait longer, at `first_answer`."""

KEY: Final = "PERDURE_KEY"
"""Variable with the key that the server knows the caller by. No flag is that: others see what a command is given."""


ServerOption = Annotated[
    str | None, typer.Option("--server", help="Address of the server.", metavar="HOST:PORT", hidden=True)
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", help="Profile to ask for the server and the key.", metavar="PROFILE", hidden=True),
]


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, what it knows the caller by, and how what is said to it is encrypted."""

    address: str
    key: str = field(repr=False)
    credentials: grpc.ChannelCredentials | None
    codec: Codec = field(default_factory=Codec)


def connected(command: Callable[Concatenate[Client, P], Awaitable[ExitCode | None]]) -> Callable[..., None]:
    """Makes a command out of a coroutine function whose first argument is a client.

    The command has the options of the function, and `--server` and `--profile` again, so that they may stand behind the
    command too. A function with a parameter `profile` is given the name of the profile, of which there need be none yet.
    """
    keeps_profile = "profile" in inspect.signature(command).parameters

    def called(
        *, context: typer.Context, server: str | None = None, profile: str | None = None, **options: Any
    ) -> None:
        chosen: Chosen = context.obj
        settings = read_settings(chosen.config)
        name, kept = chosen_profile(profile or chosen.profile, may_be_new=keeps_profile)
        of_profile = kept.server if kept is not None else None
        address = _address(server or chosen.server or of_profile or settings.server or DEFAULT_SERVER)
        # A profile's key is for the profile's own server, and for nobody who is named in its place.
        kept = kept if of_profile == address else None
        key = _key(chosen, kept)
        credentials = _credentials(chosen, kept, address, has_key=bool(key))
        codec = chosen_codec(kept)
        opening_with(codec)
        if keeps_profile:
            options["profile"] = name or USUAL_NAME
        _choose_format(context, chosen, settings, options)
        format = options.get("output", Format.TABLE)
        try:
            server_of = Server(address, key, credentials, codec)
            code = asyncio.run(_run(server_of, format, functools.partial(command, **options)))
        except OSError as error:
            code = report_unwritable(error, format)
        except (typer.TyperException, typer.Exit, typer.Abort):
            raise  # told by the parser
        except Exception as error:  # noqa: BLE001  # told in a sentence, which no traceback is
            code = report_unexpected(error, format)
        raise typer.Exit(code)

    own = list(inspect.signature(command).parameters.values())[1:]
    beside = [] if keeps_profile else [_option("profile", ProfileOption)]
    return _as_command(called, command, [*own, _option("server", ServerOption), *beside])


def offline(command: Callable[..., None]) -> Callable[..., None]:
    """Makes a command that needs no server out of a function; it may raise Refused."""

    def called(*, context: typer.Context, **options: Any) -> None:
        chosen: Chosen = context.obj
        if "output" in options:
            _choose_format(context, chosen, read_settings(chosen.config), options)
        if "profile" in options:
            options["profile"] = options["profile"] or chosen.profile
        try:
            command(**options)
        except Refused as refusal:
            raise typer.Exit(report_refusal(refusal, options.get("output", Format.TABLE))) from refusal

    return _as_command(called, command, list(inspect.signature(command).parameters.values()))


def _option(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _as_command(
    called: Callable[..., None], command: Callable[..., Any], parameters: list[inspect.Parameter]
) -> Callable[..., None]:
    """What is called, with the name and the help of the command, and these parameters for the parser to read."""
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    own = [context, *parameters]
    functools.update_wrapper(called, command)
    del called.__wrapped__  # type: ignore[attr-defined]  # the parser is to read the signature made here
    called.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]  # read by `inspect.signature`
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in own}
    return called


def _choose_format(context: typer.Context, chosen: Chosen, settings: Settings, options: dict[str, Any]) -> None:
    """Puts in place how data is printed, where it is said for all commands and not for this one."""
    if chosen.output is not None and not _given(context, "COMMANDLINE"):
        options["output"] = _format(chosen.output)
    elif settings.output is not None and not _given(context, "COMMANDLINE", "ENVIRONMENT"):
        options["output"] = settings.output


def _address(text: str) -> str:
    try:
        return server_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--server'") from error


def _key(chosen: Chosen, profile: Profile | None) -> str:
    """What the server is to know the caller by; empty where nothing is given."""
    source = KEY
    try:
        if chosen.key_file is not None:
            source = "'--key-file'"
            return read_key_file(chosen.key_file)
        key = os.environ.get(KEY, "").strip()
        key_metadata(key)
        if key or profile is None:
            return key
        source = "'--profile'"
        return read_key_file(pathlib.Path(profile.key_file)) if profile.key_file else profile.key
    except KeyUnusable as error:
        raise typer.BadParameter(str(error), param_hint=source) from error


def _credentials(
    chosen: Chosen, profile: Profile | None, address: str, *, has_key: bool
) -> grpc.ChannelCredentials | None:
    """What the connection is opened with; None for plain text."""
    kept, given = profile or Profile(), chosen.tls
    certificate, key = given.certificate or kept.tls_certificate, given.key or kept.tls_key
    shown = (pathlib.Path(path) if path else None for path in (certificate, key))
    try:
        return Tls(given.ca or kept.tls_ca, *shown).credentials(address, has_key=has_key)
    except TlsUnusable as error:
        raise typer.BadParameter(str(error), param_hint="'--tls-ca'") from error


def _format(word: str) -> Format:
    try:
        return Format(word)
    except ValueError:
        raise typer.BadParameter(f"{word!r} is not one of {', '.join(Format)}", param_hint="'-o'") from None


def _given(context: typer.Context, *where: str) -> bool:
    """Whether a format is said for this command itself, in one of so many places."""
    source = context.get_parameter_source("output")
    return source is not None and source.name in where


async def _run(server: Server, format: Format, command: Callable[[Client], Awaitable[ExitCode | None]]) -> ExitCode:
    address, key, credentials = server.address, server.key, server.credentials
    try:
        async with Client(address, key=key, credentials=credentials, attempts=ATTEMPTS, codec=server.codec) as client:
            return await command(client) or ExitCode.OK
    except CallFailed as failure:
        return report_failure(failure, address, format)
    except Refused as refusal:
        return report_refusal(refusal, format)
