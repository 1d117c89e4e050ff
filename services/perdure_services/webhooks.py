"""Webhooks are told of approvals beside a control plane: each by a task of its own, so that none waits for another."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.api.work.waiting import wait_for
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.webhook import ConfiguredWebhook, Delivery, Patience, Webhook
from perdure_control_plane.usecases.send_webhook import (
    claim_deliveries,
    forget_deliveries,
    let_go_of_webhook,
    note_arrival,
    note_failure,
)
from perdure_control_plane.usecases.spool_webhook import spool_webhook
from perdure_services.settings import ControlPlaneSettings
from perdure_services.webhook_calls import CallFailed, Receiver, receiver_of
from perdure_services.webhook_keys import WebhookKeys

log = structlog.get_logger(__name__)

LEASE_SECONDS: Final = 30.0
"""Beside the time that a request may take, a server that sends and is lost is waited for so long."""

FORGET_SECONDS: Final = 3600
TURN: Final = "webhook deliveries"


@dataclass(frozen=True, slots=True)
class Sending:
    """One webhook, and all that is needed to send to it."""

    webhook: Webhook
    receiver: Receiver
    keys: WebhookKeys
    patience: Patience
    source: str
    timeout: float

    @property
    def configured(self) -> ConfiguredWebhook:
        """What callers may know of it."""
        return ConfiguredWebhook(self.webhook, lambda: self.keys.key_ids)


def sendings(settings: ControlPlaneSettings) -> list[Sending]:
    """What the settings say of each webhook. Raises WebhookUnusable."""
    return [
        Sending(
            one.webhook,
            receiver_of(one),
            WebhookKeys(one),
            settings.webhook_patience,
            settings.webhook_source,
            settings.webhook_timeout_seconds,
        )
        for one in settings.webhooks
    ]


def begin_webhooks(desk: Desk, all: Sequence[Sending]) -> list[asyncio.Task[None]]:
    """Begins to send; it goes on until it is cancelled. What is left of webhooks that there were goes after a while."""
    tasks = [asyncio.create_task(send_on(desk, each), name=f"webhook {each.webhook.name}") for each in all]
    return [*tasks, asyncio.create_task(forget_on(desk), name="webhooks forgotten")]


async def send_on(desk: Desk, sending: Sending) -> None:
    """Takes in what happens, and sends it; of several servers one does at a time."""
    wake = asyncio.Event()
    end = desk.changes.follow_approvals(wake)
    interval = desk.timing.sweep_interval / SECOND
    name = sending.webhook.name
    try:
        while True:
            wake.clear()
            sent = 0
            try:
                sent = await _send(desk, sending)
            except StoreUnavailable as error:
                log.warning("webhook.postponed", webhook=name, reason=str(error))
            except Exception:  # the next look finds whatever this one did not
                log.exception("webhook.postponed", webhook=name)
            if not sent:
                await wait_for(wake, interval)
    finally:
        end()


async def _send(desk: Desk, sending: Sending) -> int:
    """Looks once; how many requests were made."""
    spooled = await spool_webhook(desk.store, sending.webhook, sending.source)
    if spooled.missed:
        log.error("webhook.missed", webhook=sending.webhook.name, why="changes were deleted before they were looked at")
    lease = round((LEASE_SECONDS + sending.timeout) * SECOND)
    claimed = await claim_deliveries(desk.store, sending.webhook, desk.identity.server_id, lease)
    if claimed:
        try:
            each = (_deliver(desk, sending, delivery) for delivery in claimed)
            for outcome in await asyncio.gather(*each, return_exceptions=True):
                if outcome is not None:
                    raise outcome  # what became of this one is not known; it is handed out again
        finally:
            await let_go_of_webhook(desk.store, sending.webhook, desk.identity.server_id)
    return len(claimed)


async def _deliver(desk: Desk, sending: Sending, delivery: Delivery) -> None:
    told = {"webhook": delivery.webhook, "delivery": delivery.event_id, "attempt": delivery.attempts}
    begun = time.monotonic()
    headers = sending.keys.headers(delivery.event_id, int(time.time()), delivery.body)
    try:
        await sending.receiver.post(headers, delivery.body, sending.timeout)
    except CallFailed as failure:
        why = str(failure)
        draw = random.random()  # noqa: S311  # jitter, not a secret
        asked = round(failure.wait * SECOND)
        pause = await note_failure(desk.store, delivery, why, sending.patience, draw, asked)
        if pause is None:
            log.error("webhook.gave_up", **told, why=why)
        else:
            log.warning("webhook.failed", **told, why=why, again_in_seconds=round(pause / SECOND, 3))
        return
    await note_arrival(desk.store, delivery)
    log.info("webhook.delivered", **told, seconds=round(time.monotonic() - begun, 3))


async def forget_on(desk: Desk) -> None:
    """Drops what is too old once an hour, until it is cancelled; of several servers one does."""
    while True:
        try:
            if await desk.store.write(lambda tx: tx.upkeep.take_turn(TURN, tx.now, FORGET_SECONDS * SECOND)):
                forgotten = await forget_deliveries(desk.store)
                if forgotten:
                    log.warning("webhooks.forgotten", deliveries=forgotten)
        except StoreUnavailable as error:
            log.warning("webhooks.postponed", reason=str(error))
        except Exception:  # the next look finds whatever this one did not
            log.exception("webhooks.failed")
        await asyncio.sleep(FORGET_SECONDS)
