"""`perdure auth`."""

import typer

from perdure.cli.connection import connected
from perdure.cli.lazy import noun
from perdure.cli.options import Output
from perdure.cli.printing.formats import Format, print_one
from perdure.cli.printing.words import enum_word
from perdure.client import Client
from perdure.v1.identities_pb2 import Identity, WhoAmIRequest
from perdure.v1.roles_pb2 import Role

app = noun("Who the server takes you for.")


@app.command()
@connected
async def whoami(perdure: Client, output: Output = Format.TABLE) -> None:
    """Show who the server takes you for, and what you may do."""
    caller = await perdure.identity.WhoAmI(WhoAmIRequest())
    print_one(caller, output)
    if not caller.authenticated:
        typer.echo("the server runs open: it asks nobody who they are, and everybody may do everything", err=True)


def caller_words(caller: Identity) -> str:
    """`keys/ci, operator`."""
    return f"{caller.principal}, {enum_word(Role.DESCRIPTOR, caller.role)}" if caller.role else caller.principal
