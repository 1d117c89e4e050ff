"""The room that limits leave: of the ready runs that an executor could do, which may be handed out."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from perdure_control_plane.domain.queue import QueueLimits
from perdure_control_plane.domain.run import Run


@dataclass(frozen=True, slots=True)
class Ready:
    """A ready run that an executor could do. Key and limit are those of the place that it wants; empty and 0: of none."""

    run_id: str
    concurrency_key: str
    concurrency_limit: int
    queue: str


@dataclass(frozen=True, slots=True)
class Servable:
    """Runs that may be handed out, and when a rate lets others of the executor's queues be; 0 where none keeps any."""

    runs: list[Run]
    again_at: int


class Room:
    """How many runs of each key have a place, and how many of each queue may follow, counting those that are taken."""

    def __init__(self, at: int, limited: Collection[str]) -> None:
        """At a time; `limited` has the queues with a rate or a limit of runs at work."""
        self.at: Final = at
        self._limited: Final = limited
        self.held: Final[dict[str, int]] = {}
        """Runs by key that have a place."""
        self.full: Final[dict[str, int]] = {}
        """Those of the keys of which a run found no place."""
        self._limits: Final[dict[str, QueueLimits]] = {}
        self._left: Final[dict[str, int]] = {}
        self._taken: Final[dict[str, int]] = {}

    def uncounted_keys(self, ready: Iterable[Ready]) -> list[str]:
        """Keys of these runs that nobody has counted."""
        return sorted({each.concurrency_key for each in ready} - {"", *self.held})

    def uncounted_queues(self, ready: Iterable[Ready]) -> list[str]:
        """Queues of these runs that have limits which nobody has looked at."""
        return sorted({each.queue for each in ready if each.queue in self._limited} - set(self._limits))

    def let(self, limits: QueueLimits, at_work: int) -> None:
        """Says what a queue has room for."""
        self._limits[limits.queue] = limits
        room = limits.room(at_work, self.at)
        if room is not None:
            self._left[limits.queue] = room

    def take(self, ready: Ready) -> bool:
        """Counts a run that is handed out. False where its queue or its key, which were counted, have no room for it."""
        key, queue = ready.concurrency_key, ready.queue
        if self._left.get(queue) == 0:
            return False
        if key:
            if self.held[key] >= ready.concurrency_limit:
                self.full[key] = self.held[key]
                return False
            self.held[key] += 1
        if queue in self._left:
            self._left[queue] -= 1
            self._taken[queue] = self._taken.get(queue, 0) + 1
        return True

    def queues_left(self, queues: Iterable[str]) -> list[str]:
        """Those of the queues that may have room."""
        return [queue for queue in queues if self._left.get(queue) != 0]

    def spent(self) -> list[QueueLimits]:
        """Limits of the queues whose rate has less to give for what was taken."""
        return [
            self._limits[queue].after(runs, self.at)
            for queue, runs in self._taken.items()
            if self._limits[queue].rate_runs
        ]
