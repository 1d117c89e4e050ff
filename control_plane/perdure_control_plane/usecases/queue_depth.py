"""How many runs wait, to within a second: counting them for every start would cost more than starting."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from perdure_control_plane.domain.errors import QueueFull
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.ports import Store, Transaction

FRESH_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Depths:
    """Ready runs by queue, and how many there may be, of the queues that bound that."""

    queued: Mapping[str, int]
    allowed: Mapping[str, int]

    def check(self, limits: Limits, queue: str) -> None:
        """Raises QueueFull where no more runs may be started, in this queue or in any."""
        total, here = sum(self.queued.values()), self.queued.get(queue, 0)
        if total >= limits.max_queued_runs:
            raise QueueFull("", limits.max_queued_runs, total)
        if queue in self.allowed and here >= self.allowed[queue]:
            raise QueueFull(queue, self.allowed[queue], here)


def read_depths(tx: Transaction) -> Depths:
    """The depths as they are."""
    return Depths(tx.queues.queued(), tx.queues.max_queued())


class QueueDepth:
    """Depths, counted again when they are older than a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._depths = Depths({}, {})
        self._counted = float("-inf")

    async def current(self) -> Depths:
        """The depths."""
        now = asyncio.get_running_loop().time()
        if now - self._counted > FRESH_SECONDS:
            self._counted = now
            self._depths = await self._store.read(read_depths)
        return self._depths
