"""What the tests of webhooks look at."""

import asyncio
from collections.abc import Callable
from typing import Any

from perdure.client import Client
from perdure.v1.webhooks_pb2 import (
    ListWebhookDeliveriesRequest,
    ListWebhooksRequest,
    WebhookDelivery,
)

SOON = {"webhook_retry_seconds": 0.05, "sweep_seconds": 0.05}
"""Settings with which a server tries again at once."""


async def deliveries(client: Client, name: str = "pager", state: Any = WebhookDelivery.STATE_UNSPECIFIED) -> list[Any]:
    request = ListWebhookDeliveriesRequest(webhook=f"webhooks/{name}", state=state)
    return list((await client.webhooks.ListWebhookDeliveries(request)).deliveries)


async def hook_of(client: Client) -> Any:
    (hook,) = (await client.webhooks.ListWebhooks(ListWebhooksRequest())).webhooks
    return hook


async def until(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """What a look shows when it is as wanted; nobody tells of it, so it is looked at again and again."""
    while not wanted(seen := await look()):  # noqa: ASYNC110  # the server tells nobody
        await asyncio.sleep(0.02)
    return seen
