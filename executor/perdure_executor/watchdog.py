"""Ends the process where its event loop stands still past the work end, and so nothing else in it could."""

import faulthandler
import threading
from typing import Final

import structlog

from perdure_executor.host import THIS_HOST, Host
from perdure_executor.work_end import THREADS_LEFT_EXIT_CODE, WorkEnd

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.5
"""Between two looks at the event loop."""

_LOOKS: Final = 4
"""So often in a row it must stand still: a process that was suspended gets a moment to find that out by itself."""

LAST_RESORT_SECONDS: Final = 10
"""So long after the work end the process ends even where foreign code keeps every thread of Python from going on."""


class Watchdog:
    """Looks at the event loop from a thread of its own, and is itself looked at by a timer that needs no Python."""

    def __init__(self, work_end: WorkEnd, host: Host = THIS_HOST) -> None:
        self._work_end = work_end
        self._host = host
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        turns, still = -1, 0
        try:
            while not self._stopped.wait(LOOK_SECONDS):
                still = still + 1 if self._work_end.turns == turns and self._work_end.has_passed else 0
                turns = self._work_end.turns
                if still >= _LOOKS:
                    self._end()
                left = self._work_end.seconds_left
                if left is None:
                    faulthandler.cancel_dump_traceback_later()
                else:
                    faulthandler.dump_traceback_later(left + LAST_RESORT_SECONDS, exit=True)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _end(self) -> None:
        # Ahead of the log, which may be what stands still.
        faulthandler.dump_traceback_later(LOOK_SECONDS, exit=True)
        faulthandler.dump_traceback()
        log.error("executor.ends_itself", reason="its event loop stands still past the end of its work")
        self._host.end_process(THREADS_LEFT_EXIT_CODE)
