"""`perdure credentials`."""

from perdure.cli.connection import connected
from perdure.cli.lazy import noun
from perdure.cli.options import Output
from perdure.cli.printing.formats import Format, print_one
from perdure.client import Client
from perdure.v1.credentials_pb2 import GetCredentialInventoryRequest

app = noun("Credentials: which secrets there are and how old they are, never what they are.")


@app.command()
@connected
async def inventory(perdure: Client, output: Output = Format.TABLE) -> None:
    """Show which secrets the server, the executors and callers have, by id, count and age."""
    print_one(await perdure.inventory.GetCredentialInventory(GetCredentialInventoryRequest()), output)
