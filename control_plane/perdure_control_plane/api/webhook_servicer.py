"""WebhookService."""

from collections.abc import Sequence
from typing import Any, Final

from perdure.v1 import webhooks_pb2, webhooks_pb2_grpc
from perdure_control_plane.api import names, requests
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages import webhooks as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.domain.webhook import ConfiguredWebhook
from perdure_control_plane.usecases.list_webhooks import list_webhooks
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.settle_delivery import Settling, drop_delivery, retry_delivery

_DEAD: Final[dict[str, bool]] = {"PENDING": False, "DEAD": True}


class WebhookServicer(webhooks_pb2_grpc.WebhookServiceServicer):
    """Shows webhooks, and settles what did not arrive."""

    def __init__(self, store: Store, pages: Pages, configured: Sequence[ConfiguredWebhook]) -> None:
        self._store = store
        self._pages = pages
        self._configured = {one.webhook.name: one for one in configured}

    async def ListWebhooks(
        self, request: webhooks_pb2.ListWebhooksRequest, context: Any
    ) -> webhooks_pb2.ListWebhooksResponse:
        """Lists webhooks."""
        size, after = self._pages.size(request.page_size), self._pages.position(request) or ""
        found = await list_webhooks(self._store, self._configured, after, size)
        listed, token = self._pages.page(
            request,
            found,
            size,
            lambda one: one.name,
            lambda one: messages.webhook(one, self._configured.get(one.name)),
        )
        return webhooks_pb2.ListWebhooksResponse(webhooks=listed, next_page_token=token)

    async def ListWebhookDeliveries(
        self, request: webhooks_pb2.ListWebhookDeliveriesRequest, context: Any
    ) -> webhooks_pb2.ListWebhookDeliveriesResponse:
        """Lists what is on its way."""
        size, after = self._pages.size(request.page_size), self._pages.position(request)
        webhook, dead = names.webhook(request.webhook, "webhook"), _dead(request.state)
        found = await self._store.read(lambda tx: tx.webhook_deliveries.page(webhook, dead, after, size))
        listed, token = self._pages.page(
            request, found, size, lambda one: [one.occurred_at, one.event_id], messages.delivery
        )
        return webhooks_pb2.ListWebhookDeliveriesResponse(deliveries=listed, next_page_token=token)

    async def RetryWebhookDelivery(
        self, request: webhooks_pb2.RetryWebhookDeliveryRequest, context: Any
    ) -> webhooks_pb2.WebhookDelivery:
        """Sends one again."""
        return messages.delivery(await retry_delivery(self._store, caller(), _settling(request)))

    async def DropWebhookDelivery(
        self, request: webhooks_pb2.DropWebhookDeliveryRequest, context: Any
    ) -> webhooks_pb2.DropWebhookDeliveryResponse:
        """Drops one."""
        await drop_delivery(self._store, caller(), _settling(request))
        return webhooks_pb2.DropWebhookDeliveryResponse()


def _dead(state: webhooks_pb2.WebhookDelivery.State.ValueType) -> bool | None:
    """Whether dead ones are asked for, or others; None: all. Raises FieldInvalid."""
    if state == webhooks_pb2.WebhookDelivery.STATE_UNSPECIFIED:
        return None
    return _DEAD[requests.word(webhooks_pb2.WebhookDelivery.State, state, "state")]


def _settling(
    request: webhooks_pb2.RetryWebhookDeliveryRequest | webhooks_pb2.DropWebhookDeliveryRequest,
) -> Settling:
    webhook, event_id = names.webhook_delivery(request.name)
    return Settling(webhook, event_id, requests.reason(request.reason), requests.request_id(request.request_id))
