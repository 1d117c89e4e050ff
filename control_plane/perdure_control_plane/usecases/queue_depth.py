"""How many runs wait, to within a second: counting them for every start would cost more than starting."""

import asyncio
from typing import Final

from perdure_control_plane.usecases.ports import Store

FRESH_SECONDS: Final = 1.0


class QueueDepth:
    """The number of ready runs, counted again when it is older than a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._depth = 0
        self._counted = float("-inf")

    async def current(self) -> int:
        """The number of ready runs."""
        now = asyncio.get_running_loop().time()
        if now - self._counted > FRESH_SECONDS:
            self._counted = now
            self._depth = await self._store.read(lambda tx: tx.runs.count_queued())
        return self._depth
