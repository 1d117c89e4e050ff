"""What every store does beside its statements: it takes batches, and tells of commits and of the writer's end."""

from collections.abc import Callable

from perdure_control_plane.domain.admission import Answer, Batch
from perdure_control_plane.storage.writer import Committed, Writer


class ListenedStore:
    """A store with one writer, and those who listen to it."""

    def __init__(self) -> None:
        self._writer: Writer
        self._committed: list[Callable[[Committed], None]] = []
        self._failure_listeners: list[Callable[[], None]] = []
        self.failure = ""
        """A plain sentence where an error has ended the writer: nothing is written until the store is opened again."""

    def on_commit(self, listener: Callable[[Committed], None]) -> None:
        """Calls `listener` on the store's loop after every commit that changed a run, as far as this process hears of it."""
        self._committed.append(listener)

    def on_failure(self, listener: Callable[[], None]) -> None:
        """Calls `listener` on the store's loop when an error has ended the writer."""
        self._failure_listeners.append(listener)

    def append(self, batch: Batch, reply: Callable[[Answer], None]) -> None:
        """Submits a holder's batch; `reply` is called after the commit."""
        self._writer.append(batch, reply)

    def _fail(self, why: str) -> None:
        self.failure = why
        for listener in self._failure_listeners:
            listener()

    def _publish(self, committed: Committed) -> None:
        for listener in self._committed:
            listener(committed)
