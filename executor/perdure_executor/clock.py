"""The clock that leases are counted on: it goes on while the machine sleeps, and nobody can set it."""

import time
from typing import Final

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def seconds() -> float:
    """Seconds since some moment in the past."""
    return time.clock_gettime(_CLOCK)
