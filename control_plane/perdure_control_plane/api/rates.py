"""How much one caller may ask for: calls in a time, and streams at once. Each server counts for itself."""

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from perdure_control_plane.domain.errors import CallRateReached, StreamLimitReached
from perdure_control_plane.domain.ids import Principal

SAVED_SECONDS: Final = 2.0
"""Calls of so long may be made at once after a pause."""

MOST_COUNTED: Final = 10_000
"""Principals that are remembered; when there are more, those are forgotten who have all their calls again."""


class Rates:
    """Counts what principals do. A limit of 0 is none."""

    def __init__(self, calls_per_second: float, streams: int, clock: Callable[[], float]) -> None:
        """`clock` counts seconds, and never goes back."""
        self._rate = calls_per_second
        self._most = max(1.0, calls_per_second * SAVED_SECONDS)
        self._streams = streams
        self._clock = clock
        self._left: dict[Principal, tuple[float, float]] = {}
        self._open: Counter[Principal] = Counter()

    def take(self, principal: Principal) -> None:
        """Counts a call. Raises CallRateReached."""
        if not self._rate:
            return
        now = self._clock()
        left, at = self._left.get(principal, (self._most, now))
        left = min(self._most, left + (now - at) * self._rate)
        if left < 1:
            self._left[principal] = left, now
            raise CallRateReached(principal, f"{self._rate:g}", math.ceil((1 - left) / self._rate * 1000) / 1000)
        self._left[principal] = left - 1, now
        if len(self._left) > MOST_COUNTED:
            self._forget(now)

    @contextlib.contextmanager
    def stream(self, principal: Principal) -> Iterator[None]:
        """Counts a stream for as long as it is open. Raises StreamLimitReached."""
        if self._streams and self._open[principal] >= self._streams:
            raise StreamLimitReached(principal, self._streams)
        self._open[principal] += 1
        try:
            yield
        finally:
            self._open[principal] -= 1
            if not self._open[principal]:
                del self._open[principal]

    def _forget(self, now: float) -> None:
        rested = [one for one, (left, at) in self._left.items() if left + (now - at) * self._rate >= self._most]
        for principal in rested:
            del self._left[principal]


UNLIMITED: Final = Rates(0, 0, lambda: 0.0)
"""Of a server that counts nothing."""
