"""What an executor has of the machine it runs on: a clock, and the end of its own process."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from perdure_executor import clock


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, as far as leases depend on it."""

    seconds: Callable[[], float] = clock.seconds
    """The clock that leases are counted on; it goes on while the machine sleeps."""
    end_process: Callable[[int], None] = os._exit
    """Ends this process at once, with an exit code; nothing of it runs on, in no thread."""


THIS_HOST = Host()
"""The machine that this process runs on."""
