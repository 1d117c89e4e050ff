"""Webhooks and deliveries as messages."""

from collections.abc import Sequence

from perdure.v1 import webhooks_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.webhook import WORDS, ConfiguredWebhook, Delivery, WebhookStanding


def webhook(standing: WebhookStanding, configured: ConfiguredWebhook | None) -> webhooks_pb2.Webhook:
    """A webhook; with what this server's settings say of it where they do."""
    return webhooks_pb2.Webhook(
        name=f"webhooks/{standing.name}",
        endpoint=configured.webhook.endpoint if configured is not None else "",
        events=_events(configured),
        key_ids=configured.key_ids() if configured is not None else (),
        pending_deliveries=standing.pending,
        dead_deliveries=standing.dead,
        arrived_deliveries=standing.delivered,
        arrival_time=timestamp(standing.delivered_at),
        failure_time=timestamp(standing.failed_at),
        failure=standing.failure,
    )


def delivery(value: Delivery) -> webhooks_pb2.WebhookDelivery:
    """A delivery, without what is sent."""
    state = webhooks_pb2.WebhookDelivery.STATE_DEAD if value.is_dead else webhooks_pb2.WebhookDelivery.STATE_PENDING
    return webhooks_pb2.WebhookDelivery(
        name=value.name,
        type=value.type,
        approval=value.subject,
        event_time=timestamp(value.occurred_at),
        state=state,
        attempts=value.attempts,
        attempt_time=timestamp(value.attempted_at),
        next_attempt_time=timestamp(value.next_at),
        failure=value.failure,
    )


def _events(configured: ConfiguredWebhook | None) -> Sequence[str]:
    return [word for kind, word in WORDS.items() if configured is not None and kind in configured.webhook.kinds]
