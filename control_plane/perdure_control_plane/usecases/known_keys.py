"""Finds out which key a text is of, and whether it is good."""

from collections.abc import Callable
from typing import Final

from perdure_control_plane.domain.api_key import ApiKey, KeyTexts, key_id_of
from perdure_control_plane.domain.errors import CallerFault, Unauthenticated
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.usecases.ports import Store

KNOWN_SECONDS: Final = 2.0
"""How long what was read of a key is believed. What this server changes itself is believed no longer at once."""

MOST_KNOWN: Final = 10_000


class KnownKeys:
    """Keys of the store, read again every two seconds while they are used."""

    def __init__(self, store: Store, texts: KeyTexts, clock: Callable[[], float]) -> None:
        """`clock` counts seconds, and never goes back."""
        self._store = store
        self._texts = texts
        self._clock = clock
        self._read: dict[str, tuple[float, int, ApiKey]] = {}
        self._forgotten = 0

    async def check(self, text: str) -> ApiKey:
        """The key whose text this is. Raises Unauthenticated, StoreUnavailable."""
        key_id = key_id_of(text)
        read_at, now, key = self._read.get(key_id) or await self._look(key_id)
        passed = self._clock() - read_at
        if passed >= KNOWN_SECONDS:
            read_at, now, key = await self._look(key_id)
            passed = 0.0
        key.check(self._texts.digest(text), now + round(passed * SECOND))
        return key

    def forget(self, key_id: str) -> None:
        """Has a key read again at its next use, for it was changed."""
        self._read.pop(key_id, None)
        self._forgotten += 1

    async def _look(self, key_id: str) -> tuple[float, int, ApiKey]:
        asked_at, forgotten = self._clock(), self._forgotten
        key, now = await self._store.read(lambda tx: (tx.keys.find(key_id), tx.now))
        if key is None:
            raise Unauthenticated(CallerFault.UNKNOWN)
        if len(self._read) >= MOST_KNOWN:
            self._read.clear()
        if forgotten == self._forgotten:  # else it may have been changed since it was read
            self._read[key_id] = asked_at, now, key
        return asked_at, now, key
