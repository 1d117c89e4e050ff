"""The database's clock, without a question for each transaction."""

import time
from typing import Final

from perdure_control_plane.storage.postgres_driver import PostgresDriver

NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The database's clock, in microseconds since 1970."""

KEPT_SECONDS: Final = 1.0
"""How long what the database said is carried forward."""
TRUSTED_SECONDS: Final = 0.02
"""How long its answer may take for that. It bounds by how much two servers' times can differ."""


class DatabaseClock:
    """What the database's clock showed last, and how long ago that was."""

    def __init__(self) -> None:
        self._shown = 0
        self._seen: float | None = None

    def now(self, driver: PostgresDriver) -> int:
        """The database's time in microseconds since 1970, never ahead of it, and at most TRUSTED_SECONDS behind."""
        asked = _elapsed()
        if self._seen is not None and asked - self._seen < KEPT_SECONDS:
            return self._shown + round((asked - self._seen) * 1e6)
        (self._shown,) = driver.execute_alone(NOW).fetchone()
        answered = _elapsed()
        self._seen = answered if answered - asked < TRUSTED_SECONDS else None
        return self._shown


def _elapsed() -> float:
    # Where the machine can be suspended, this clock goes on.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
