"""Takes what happened to approvals in for a webhook: from then on it is on its way, whatever becomes of run and server."""

from dataclasses import dataclass
from typing import Final

from perdure_control_plane.domain.approval_change import ApprovalChange
from perdure_control_plane.domain.queries import ApprovalFilter
from perdure_control_plane.domain.webhook import Delivery, Webhook, delivery_of
from perdure_control_plane.usecases.ports import Order, Store, Transaction

AT_ONCE: Final = 100
"""Changes that are taken in in a commit."""

_ANY: Final = ApprovalFilter()


@dataclass(frozen=True, slots=True)
class Spooled:
    """What was taken in."""

    deliveries: int
    missed: bool
    """Whether something that happened was deleted before it could be: nobody had looked for too long."""


async def spool_webhook(store: Store, webhook: Webhook, source: str) -> Spooled:
    """Takes in everything that has its place by now. Any server may, at any time. What is new begins with what comes.

    `source` is who an event is said to come from.
    """
    deliveries, missed = 0, False
    while await store.read(lambda tx: _is_behind(tx, webhook)):
        spooled = await store.write(lambda tx: _spool(tx, webhook, source), Order.GUARDED)
        deliveries, missed = deliveries + spooled.deliveries, missed or spooled.missed
    return Spooled(deliveries, missed)


def _is_behind(tx: Transaction, webhook: Webhook) -> bool:
    position = tx.webhook_spool.position(webhook.name)
    return position is None or position < tx.approval_changes.head().position


def _spool(tx: Transaction, webhook: Webhook, source: str) -> Spooled:
    head = tx.approval_changes.head()
    own = tx.webhook_spool.lock(webhook.name, head.position)
    begin = max(own, head.pruned_position)
    changes, position = tx.approval_changes.after(begin, _ANY, AT_ONCE)
    wanted = [change for change in changes if change.kind in webhook.kinds]
    deliveries = [_delivery(tx, webhook, change, source) for change in wanted]
    tx.webhook_spool.add(webhook.name, deliveries, max(position, begin), tx.now)
    return Spooled(len(deliveries), begin > own)


def _delivery(tx: Transaction, webhook: Webhook, change: ApprovalChange, source: str) -> Delivery:
    run = tx.runs.find(change.approval.run_id)
    playbook = (run.identity.playbook_id, run.identity.playbook_version) if run is not None else None
    return delivery_of(webhook.name, change, playbook, source)
