"""Has what did not arrive at a webhook sent again, or drops it, as a person says."""

from dataclasses import dataclass

from perdure.audit.events import AuditDetail, AuditType
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.webhook import Delivery
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class Settling:
    """Which delivery, and why."""

    webhook: str
    event_id: str
    reason: str
    request_id: str

    @property
    def name(self) -> str:
        """The delivery's resource name."""
        return f"webhooks/{self.webhook}/deliveries/{self.event_id}"


async def retry_delivery(store: Store, caller: Caller, asked: Settling) -> Delivery:
    """Sends it now, with all its attempts before it. Raises NotFound where it has arrived or is dropped; RequestIdReused."""

    def body(tx: Transaction) -> Delivery:
        found = tx.webhook_deliveries.get(asked.webhook, asked.event_id)
        if not is_repetition(tx, caller, asked.request_id, "RetryWebhookDelivery", asked.name, asked.reason):
            tx.webhook_deliveries.try_again(asked.webhook, asked.event_id, tx.now)
            _record(tx, caller, AuditType.WEBHOOK_RETRIED, asked, found)
        return tx.webhook_deliveries.get(asked.webhook, asked.event_id)

    return await store.write(body)


async def drop_delivery(store: Store, caller: Caller, asked: Settling) -> None:
    """Sends it no more. Raises NotFound where it has arrived, or was dropped before, by another request; RequestIdReused."""

    def body(tx: Transaction) -> None:
        if is_repetition(tx, caller, asked.request_id, "DropWebhookDelivery", asked.name, asked.reason):
            return
        found = tx.webhook_deliveries.get(asked.webhook, asked.event_id)
        tx.webhook_deliveries.drop(asked.webhook, asked.event_id)
        _record(tx, caller, AuditType.WEBHOOK_DROPPED, asked, found)

    await store.write(body)


def _record(tx: Transaction, caller: Caller, type: AuditType, asked: Settling, found: Delivery) -> None:
    details = {AuditDetail.EVENT: found.type, **of_reason(asked.reason)}
    tx.audit.record(Act(type, caller, asked.name, asked.request_id, details))
