"""Lists webhooks: those that a server is configured with, and those that anything was ever taken in for."""

from collections.abc import Iterable

from perdure_control_plane.domain.webhook import WebhookStanding, standing_of_new
from perdure_control_plane.usecases.ports import Store


async def list_webhooks(store: Store, configured: Iterable[str], after: str, limit: int) -> list[WebhookStanding]:
    """Webhooks by name, behind one."""
    found = await store.read(lambda tx: tx.webhook_deliveries.standings(after, limit))
    known = {standing.name: standing for standing in found}
    last = found[-1].name if len(found) == limit else None
    new = [name for name in configured if name > after and (last is None or name < last)]
    every = {name: standing_of_new(name) for name in new} | known
    return [every[name] for name in sorted(every)][:limit]
