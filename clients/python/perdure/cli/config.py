"""`perdure config`."""

import pathlib
from dataclasses import replace
from typing import Annotated

import typer

from perdure.addresses import server_address
from perdure.cli.asking import confirm_where_possible
from perdure.cli.connection import offline
from perdure.cli.lazy import noun
from perdure.cli.options import Output, Yes
from perdure.cli.printing.formats import Format
from perdure.cli.printing.profiles import print_profiles
from perdure.cli.profiles import Profile, Profiles, checked_name, no_profile, read_profiles, write_profiles
from perdure.client.tls import NONE, SYSTEM

app = noun("What is kept for commands: profiles, one for each server that you use.")
profile = noun("Profiles: where a server is, and what it knows you by.")
app.add_typer(profile, name="profile")

ProfileName = Annotated[str, typer.Argument(metavar="PROFILE", help="What it is called.")]


@profile.command("set")
@offline
def set_profile(
    name: ProfileName,
    server: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Address of its server.")] = None,
    key_file: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="File with the key, in place of the one that perdure auth login keeps."),
    ] = None,
    tls_ca: Annotated[
        str | None, typer.Option(metavar="FILE", help="CAs that know its server, or system, or none: plain text.")
    ] = None,
    tls_certificate: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="Certificate to show it.")
    ] = None,
    tls_key: Annotated[pathlib.Path | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    encryption_keys: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="File with the keys of what its work is given and leaves."),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a profile, or change what is given of it. The first one is used from then on."""
    kept = read_profiles()
    before = kept.by_name.get(checked_name(name), Profile())
    after = before
    if server is not None and (address := _address(server)) != before.server:
        after = replace(after, server=address, key="")
        if before.key:
            typer.echo("its key was for the other server, and is forgotten; another: perdure auth login", err=True)
    if key_file is not None:
        after = replace(after, key="", key_file=str(key_file.absolute()))
    if tls_ca is not None:
        after = replace(after, tls_ca=tls_ca if tls_ca in (SYSTEM, NONE) else str(pathlib.Path(tls_ca).absolute()))
    files = {"tls_certificate": tls_certificate, "tls_key": tls_key, "encryption_keys": encryption_keys}
    after = replace(after, **{name: str(path.absolute()) for name, path in files.items() if path is not None})
    kept = kept.having(name, after)
    write_profiles(kept)
    print_profiles([name], kept, output)


@profile.command("use")
@offline
def use_profile(name: ProfileName, output: Output = Format.TABLE) -> None:
    """Use a profile wherever neither flags nor the environment name another."""
    kept = _having(name).using(name)
    write_profiles(kept)
    print_profiles([name], kept, output)


@profile.command("list")
@offline
def list_profiles(output: Output = Format.TABLE) -> None:
    """List profiles, without their keys."""
    kept = read_profiles()
    print_profiles(sorted(kept.by_name), kept, output)


@profile.command("show")
@offline
def show_profile(
    name: Annotated[
        str | None, typer.Argument(metavar="PROFILE", help="What it is called; left out, the one that is used.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show a profile, without its key."""
    kept = read_profiles()
    wanted = name or kept.current
    if not wanted:
        raise typer.BadParameter("no profile is used; name one, or use one: perdure config profile use PROFILE")
    print_profiles([wanted], _having(wanted), output)


@profile.command("delete")
@offline
def delete_profile(name: ProfileName, yes: Yes = False, output: Output = Format.TABLE) -> None:
    """Delete a profile, and forget its key; the key itself stays good. Prints what it was."""
    kept = _having(name)
    confirm_where_possible(f"Delete the profile {name}?", yes)
    write_profiles(kept.without(name))
    print_profiles([name], kept, output)


def _having(name: str) -> Profiles:
    kept = read_profiles()
    if checked_name(name) not in kept.by_name:
        raise no_profile(name)
    return kept


def _address(text: str) -> str:
    try:
        return server_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--server'") from error
