"""`perdure keys`."""

from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from perdure.cli import names
from perdure.cli.asking import confirm_where_possible
from perdure.cli.connection import connected
from perdure.cli.durations import duration_message
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.options import Limit, Output, Yes
from perdure.cli.printing.formats import Format, print_one
from perdure.client import Client, pages
from perdure.v1.keys_pb2 import (
    CreateKeyRequest,
    GetKeyRequest,
    ListKeysRequest,
    NewKey,
    RevokeKeyRequest,
    RotateKeyRequest,
)
from perdure.v1.roles_pb2 import Role

app = noun("Keys by which callers say who they are.")

ROLES = [name.removeprefix("ROLE_").lower() for name in Role.keys()[1:]]

KeyName = Annotated[str, typer.Argument(metavar="KEY", help="The key: its name, or keys/{key}.")]
ExpiresIn = Annotated[
    str | None, typer.Option("--expires-in", metavar="DURATION", help="When it is good no longer: 12h, 90d.")
]


@app.command()
@connected
async def create(
    perdure: Client,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called, and whoever calls with it.")],
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help=f"One of {', '.join(ROLES)}.")],
    expires_in: ExpiresIn = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a key and print it, this once."""
    request = CreateKeyRequest(
        key=names.bare(names.key(name)), role=_role(role), time_to_live=duration_message(expires_in, "--expires-in")
    )
    _print_new(await perdure.keys.CreateKey(request), output)


@app.command("list")
@connected
async def list_keys(
    perdure: Client,
    revoked: Annotated[bool, typer.Option("--revoked", help="With those that are revoked.")] = False,
    limit: Limit = DEFAULT_LIMIT,
    output: Output = Format.TABLE,
) -> None:
    """List keys by name, without their texts."""
    request = ListKeysRequest(page_size=page_size(limit), show_revoked=revoked)
    await list_items(pages(perdure.keys.ListKeys, request), lambda page: page.keys, limit, output)


@app.command()
@connected
async def get(perdure: Client, key: KeyName, output: Output = Format.TABLE) -> None:
    """Show what is known of a key."""
    print_one(await perdure.keys.GetKey(GetKeyRequest(name=names.key(key))), output)


@app.command()
@connected
async def rotate(
    perdure: Client,
    key: KeyName,
    overlap: Annotated[
        str | None,
        typer.Option(
            "--overlap", metavar="DURATION", help="So long the text before is good, too: 0, 24h. Default: 1h."
        ),
    ] = None,
    expires_in: ExpiresIn = None,
    output: Output = Format.TABLE,
) -> None:
    """Give a key a new text and print it, this once; the text before is good for a while."""
    request = RotateKeyRequest(
        name=names.key(key),
        overlap=Duration() if overlap in ("0", "0s") else duration_message(overlap, "--overlap"),
        time_to_live=duration_message(expires_in, "--expires-in"),
    )
    _print_new(await perdure.keys.RotateKey(request), output)


@app.command()
@connected
async def revoke(perdure: Client, key: KeyName, yes: Yes = False, output: Output = Format.TABLE) -> None:
    """Make a key good for nothing, for good."""
    name = names.key(key)
    confirm_where_possible(f"Revoke {name} for good? Whoever calls with it is refused at once.", yes)
    print_one(await perdure.keys.RevokeKey(RevokeKeyRequest(name=name)), output)


def _print_new(made: NewKey, output: Format) -> None:
    if output is not Format.TABLE:
        print_one(made, output)
        return
    print_one(made.key, output)
    if not made.text:
        typer.echo(f"its text was in an answer that was lost; another: perdure keys rotate {made.key.name}", err=True)
        return
    typer.echo(f"text:        {made.text}")
    typer.echo(
        "keep this text now, for it is not shown again; whoever calls with it: PERDURE_KEY, or --key-file", err=True
    )


def _role(word: str) -> Role.ValueType:
    if word not in ROLES:
        raise typer.BadParameter(f"{word!r} is not one of {', '.join(ROLES)}", param_hint="'--role'")
    return Role.Value(f"ROLE_{word.upper()}")
