"""Denied calls that were counted are written down beside what a server does."""

import asyncio
from typing import Final

import structlog

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.usecases.record_denials import Denials

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 10


async def record_on(denials: Denials) -> None:
    """Looks every few seconds, until it is cancelled; then what is counted still is written down as well."""
    try:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await denials.store_due()
            except StoreUnavailable as error:
                log.warning("denials.postponed", reason=str(error))
            except Exception:  # the next look finds whatever this one did not
                log.exception("denials.failed")
    finally:
        await denials.store_due(all_of_them=True)
