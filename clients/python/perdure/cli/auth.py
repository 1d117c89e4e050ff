"""`perdure auth`."""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from perdure.cli.asking import can_ask
from perdure.cli.connection import connected, offline
from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused
from perdure.cli.lazy import noun
from perdure.cli.options import Output
from perdure.cli.printing.formats import Format, print_one
from perdure.cli.printing.profiles import print_profiles
from perdure.cli.printing.words import enum_word
from perdure.cli.profiles import USUAL_NAME, Profile, checked_name, chosen_profile, read_profiles, write_profiles
from perdure.client import Client
from perdure.keys import KeyUnusable, key_metadata
from perdure.v1.identities_pb2 import Identity, WhoAmIRequest
from perdure.v1.roles_pb2 import Role

app = noun("Who the server takes you for, and the key that it knows you by.")

ProfileName = Annotated[
    str | None,
    typer.Option("--profile", metavar="PROFILE", help="Profile that keeps it, or is to.", show_default=False),
]


@app.command()
@connected
async def whoami(perdure: Client, output: Output = Format.TABLE) -> None:
    """Show who the server takes you for, and what you may do."""
    caller = await perdure.identity.WhoAmI(WhoAmIRequest())
    print_one(caller, output)
    if not caller.authenticated:
        typer.echo("the server runs open: it asks nobody who they are, and everybody may do everything", err=True)


@app.command()
@connected
async def login(perdure: Client, profile: ProfileName = None, output: Output = Format.TABLE) -> None:
    """Keep a key in a profile, when its server has said whose it is. It is asked for, or read from standard input."""
    key = _given_key()
    async with Client(perdure.address, key=key, credentials=perdure.credentials) as known:
        caller = await known.identity.WhoAmI(WhoAmIRequest())
    if not caller.authenticated:
        raise Refused(
            ExitCode.CONFLICT,
            "NOT_NEEDED",
            f"the server at {perdure.address} runs open: it asks nobody who they are, and no key was kept",
        )
    name = checked_name(profile or USUAL_NAME)
    kept = read_profiles()
    before = kept.by_name.get(name, Profile())
    write_profiles(kept.having(name, replace(before, server=perdure.address, key=key, key_file="")))
    print_one(caller, output)
    typer.echo(f"the profile {name} keeps the key for {perdure.address}", err=True)


@app.command()
@offline
def logout(profile: ProfileName = None, output: Output = Format.TABLE) -> None:
    """Forget the key that a profile keeps; the key itself stays good."""
    name, kept = chosen_profile(profile)
    if kept is None or not (kept.key or kept.key_file):
        raise Refused(ExitCode.CONFLICT, "NOT_NEEDED", "no key is kept")
    left = read_profiles().having(name, replace(kept, key="", key_file=""))
    write_profiles(left)
    print_profiles([name], left, output)
    typer.echo(
        f"the profile {name} keeps no key any more; to have the key itself refused: perdure keys revoke", err=True
    )


def _given_key() -> str:
    key = typer.prompt("Key", hide_input=True, err=True) if can_ask() else sys.stdin.readline()
    try:
        if not key_metadata(key.strip()):
            raise KeyUnusable("no key was given")
    except KeyUnusable as error:
        raise Refused(ExitCode.USAGE, "FIELD_INVALID", str(error), "give it on a line of standard input") from error
    return str(key.strip())


def caller_words(caller: Identity) -> str:
    """`keys/ci, operator`."""
    return f"{caller.principal}, {enum_word(Role.DESCRIPTOR, caller.role)}" if caller.role else caller.principal
