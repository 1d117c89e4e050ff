"""Denials that were counted are written down, audit events sealed, and old ones deleted, beside what a server does."""

import asyncio
from typing import Final

import structlog

from perdure.audit.signing import HeadKey
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.prune_audit import prune_audit
from perdure_control_plane.usecases.record_denials import Denials
from perdure_control_plane.usecases.seal_audit import AT_ONCE, seal_audit
from perdure_services.denials import record_on
from perdure_services.settings import ControlPlaneSettings

log = structlog.get_logger(__name__)

PRUNE_SECONDS: Final = 60
REST_SECONDS: Final = 0.02
"""Between two of its commits everybody else's go."""

TURN: Final = "audit"


def begin_auditing(
    store: Store, denials: Denials, key: HeadKey, settings: ControlPlaneSettings
) -> list[asyncio.Task[None]]:
    """Begins all three; they go on until they are cancelled."""
    return [
        asyncio.create_task(record_on(denials), name="denials"),
        asyncio.create_task(seal_on(store, key, settings), name="audit"),
        asyncio.create_task(prune_on(store, settings), name="pruning"),
    ]


async def seal_on(store: Store, key: HeadKey, settings: ControlPlaneSettings) -> None:
    """Seals as often as the server sweeps, until it is cancelled. Every server looks, and one finds what there is."""
    pause = settings.sweep_seconds
    while True:
        await asyncio.sleep(pause)
        pause = settings.sweep_seconds
        try:
            if await seal_audit(store, key) == AT_ONCE:
                pause = REST_SECONDS
        except StoreUnavailable as error:
            log.warning("audit.postponed", reason=str(error))
        except Exception:  # the next look finds whatever this one did not
            log.exception("audit.failed")


async def prune_on(store: Store, settings: ControlPlaneSettings) -> None:
    """Deletes old events once a minute, until it is cancelled; of several servers one does. Ends where all are kept."""
    if not settings.audit_retention:
        return
    while True:
        await asyncio.sleep(PRUNE_SECONDS)
        try:
            if await store.write(lambda tx: tx.upkeep.take_turn(TURN, tx.now, PRUNE_SECONDS * SECOND)):
                pruned = await prune_audit(store, settings.audit_retention, lambda: asyncio.sleep(REST_SECONDS))
                if pruned:
                    log.info("audit.pruned", events=pruned)
        except StoreUnavailable as error:
            log.warning("audit.postponed", reason=str(error))
        except Exception:  # the next look finds whatever this one did not
            log.exception("audit.failed")
