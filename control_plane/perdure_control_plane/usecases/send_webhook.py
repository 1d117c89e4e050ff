"""Hands out what is to be sent to a webhook, to one sender of all servers, and takes in what became of it.

The attempt is counted in the commit that hands it out, before it is made: whatever ends a server in the middle of it is
one attempt, and not one without end. What was sent and could not be noted is sent again: at least once, under one id.
"""

from typing import Final

from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.webhook import Delivery, Patience, Webhook
from perdure_control_plane.usecases.ports import Order, Store

AT_ONCE: Final = 8
"""Deliveries that a webhook is sent at the same time."""

KEEP_DELIVERIES: Final = 30 * 24 * 3600 * SECOND
"""After so long what has not arrived is dropped."""

FORGET_AT_ONCE: Final = 500


async def claim_deliveries(store: Store, webhook: Webhook, sender: str, lease: int) -> list[Delivery]:
    """What a sender is to send now; nothing while another server's has the lease, which is given in microseconds."""
    if not await store.read(lambda tx: tx.webhook_spool.is_due(webhook.name, tx.now)):
        return []
    return await store.write(
        lambda tx: tx.webhook_spool.claim(webhook.name, sender, tx.now, tx.now + lease, AT_ONCE), Order.GUARDED
    )


async def note_arrival(store: Store, delivery: Delivery) -> None:
    """The receiver has taken it."""
    await store.write(lambda tx: tx.webhook_spool.delivered(delivery, tx.now), Order.GUARDED)


async def note_failure(
    store: Store, delivery: Delivery, failure: str, patience: Patience, draw: float, asked: int = 0
) -> int | None:
    """The receiver has not. After so long, in microseconds, it is tried again; None: it is a dead letter from now on.

    `draw`, from 0 to 1, is what the pause is spread by, and `asked` how long the receiver wants to be left alone.
    """
    pause = patience.pause(delivery.attempts, draw, asked)
    await store.write(
        lambda tx: tx.webhook_spool.failed(delivery, failure, tx.now, 0 if pause is None else tx.now + pause),
        Order.GUARDED,
    )
    return pause


async def let_go_of_webhook(store: Store, webhook: Webhook, sender: str) -> None:
    """Lets another server send at once."""
    await store.write(lambda tx: tx.webhook_spool.let_go(webhook.name, sender), Order.GUARDED)


async def forget_deliveries(store: Store) -> int:
    """Drops some of what is older than it is kept; how many."""
    return await store.write(
        lambda tx: tx.webhook_deliveries.forget(tx.now - KEEP_DELIVERIES, FORGET_AT_ONCE), Order.GUARDED
    )
