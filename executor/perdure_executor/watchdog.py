"""Ends the process where its event loop stands still past the work end, and so nothing else in it could."""

import faulthandler
import threading
from collections.abc import Callable
from typing import Final

import structlog

from perdure_executor.host import THIS_HOST, Host
from perdure_executor.work_end import THREADS_LEFT_EXIT_CODE, WorkEnd

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.5
"""Between two looks at the event loop."""

LOOKS: Final = 4
"""So often in a row it must stand still: a process that was suspended gets a moment to find that out by itself."""


class Watchdog:
    """Looks at the event loop from a thread of its own.

    That it goes on itself it shows at each look to somebody outside of the process, where alone something can be done when
    foreign code keeps every thread of Python from going on.
    """

    def __init__(self, work_end: WorkEnd, show_life: Callable[[], None], host: Host = THIS_HOST) -> None:
        self._work_end = work_end
        self._show_life = show_life
        self._host = host
        self._turns, self._still = -1, 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._show_life()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def look(self) -> None:
        """Ends the process if the event loop has stood still past the work end at each of the last looks."""
        self._show_life()
        self._still = self._still + 1 if self._work_end.turns == self._turns and self._work_end.has_passed else 0
        self._turns = self._work_end.turns
        if self._still >= LOOKS:
            try:
                faulthandler.dump_traceback()
                log.error("executor.ends_itself", reason="its event loop stands still past the end of its work")
            finally:
                self._host.end_process(THREADS_LEFT_EXIT_CODE)

    def _keep_looking(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self.look()
