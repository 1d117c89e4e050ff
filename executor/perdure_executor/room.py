"""How many more runs an executor takes."""

from typing import Final

from perdure_executor.event_stream import Backlog, EventStream

MAX_BACKLOG_BYTES: Final = 64 * 1024 * 1024
"""Events on their way to the log, of all runs, past which no run is taken."""


class Room:
    """Counts slots. A run whose end is on its way takes none: nothing of it runs any more."""

    def __init__(self, slots: int) -> None:
        self.backlog: Final = Backlog()
        self._slots = slots
        self._leaving: set[EventStream] = set()
        self._choked = False

    def free(self, held: int) -> int:
        """How many runs can be taken while so many are held."""
        self._choked = self._is_choked
        return 0 if self._choked else max(0, self._slots - held + len(self._leaving))

    def changed_with(self, stream: EventStream) -> bool:
        """Whether a stream's last event has changed what `free` says."""
        if stream.releasing != (stream in self._leaving):
            self._leaving ^= {stream}
            return True
        return self.changed

    @property
    def changed(self) -> bool:
        """Whether there has come to be too much on its way, or no longer is, since `free` was asked."""
        return self._choked != self._is_choked

    def given_up(self, stream: EventStream) -> bool:
        """A run is not held any more. False where its room was free already."""
        if stream not in self._leaving:
            return True
        self._leaving.remove(stream)
        return False

    @property
    def _is_choked(self) -> bool:
        return self.backlog.bytes > MAX_BACKLOG_BYTES
