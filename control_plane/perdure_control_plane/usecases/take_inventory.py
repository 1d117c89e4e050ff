"""Says which secrets there are, from what the server was given and what the store knows."""

from collections.abc import Sequence

from perdure_control_plane.domain.credential import Inventory, ServerCredential, providers_of
from perdure_control_plane.usecases.ports import Store


async def take_inventory(store: Store, server: Sequence[ServerCredential]) -> Inventory:
    """The inventory as it is now; `server` has the secrets of the server's own."""
    providers, keys = await store.read(lambda tx: (tx.executors.live_providers(tx.now), tx.keys.counts(tx.now)))
    return Inventory(server, providers_of(providers), keys)
