"""Delivers what runs have to tell each other, beside a control plane: at once after a commit, and after a while anyway."""

import asyncio
from typing import Final

import structlog

from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.api.work.waiting import wait_for
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.usecases.deliver_messages import deliver_messages

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.05
"""After a delivery that told something: what was left may have become due by it."""


async def deliver_on(desk: Desk) -> None:
    """Goes on until it is cancelled."""
    wake = asyncio.Event()
    desk.changes.await_messages(wake)
    interval = desk.timing.sweep_interval / SECOND
    while True:
        wake.clear()
        told = 0
        try:
            delivered = await deliver_messages(desk.store)
        except StoreUnavailable as error:
            log.warning("messages.postponed", reason=str(error))
        except Exception:  # the next delivery finds whatever this one did not
            log.exception("messages.failed")
        else:
            told = delivered.told
            for run_id, failure in delivered.failed.items():
                log.error("messages.run_failed", run=run_id, exc_info=failure)
        await wait_for(wake, PAUSE_SECONDS if told else interval)
