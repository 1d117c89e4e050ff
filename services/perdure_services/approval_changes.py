"""Changes of approvals get their places, beside a control plane: at once after a commit, and after a while anyway."""

import asyncio
from typing import Final

import structlog

from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.api.work.waiting import wait_for
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.usecases.place_approval_changes import place_approval_changes, prune_approval_changes

log = structlog.get_logger(__name__)

REST_SECONDS: Final = 0.02
"""Between two of its commits everybody else's go."""

PRUNE_SECONDS: Final = 60
TURN: Final = "approval changes"


async def place_on(desk: Desk) -> None:
    """Goes on until it is cancelled. Every server looks, and whoever follows approvals there is woken."""
    wake = asyncio.Event()
    desk.changes.await_approvals(wake)
    position = 0
    while True:
        wake.clear()
        try:
            head = await place_approval_changes(desk.store)
        except StoreUnavailable as error:
            log.warning("approval_changes.postponed", reason=str(error))
        except Exception:  # the next look finds whatever this one did not
            log.exception("approval_changes.failed")
        else:
            if head.position != position:  # placed here, or by another server
                position = head.position
                desk.changes.placed()
        await asyncio.sleep(REST_SECONDS)
        await wait_for(wake, desk.timing.sweep_interval / SECOND)


async def forget_on(desk: Desk) -> None:
    """Deletes old changes once a minute, until it is cancelled; of several servers one does."""
    while True:
        try:
            if await desk.store.write(lambda tx: tx.upkeep.take_turn(TURN, tx.now, PRUNE_SECONDS * SECOND)):
                await prune_approval_changes(desk.store, lambda: asyncio.sleep(REST_SECONDS))
        except StoreUnavailable as error:
            log.warning("approval_changes.postponed", reason=str(error))
        except Exception:  # the next look finds whatever this one did not
            log.exception("approval_changes.failed")
        await asyncio.sleep(PRUNE_SECONDS)
