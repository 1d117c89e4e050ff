"""Long logs: what an event costs to store, and what it takes to go on with a run, however many events it has."""

import pathlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from perdure.runlog.folding import fold_event
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.usecases.fold_run import log_events, position_of, stored_events
from perdure_control_plane.usecases.take_snapshots import snapshot_run
from tests.bench.figures import Figure
from tests.bench.made_store import Shape, make_store, run_id
from tests.bench.target import Stores

BESIDE_LINES = 33
EVERY = 100
TIMES = 5


@dataclass(frozen=True)
class History:
    """One run of so many events. Measured on SQLite, in this process; what is folded is the same on both stores."""

    events: int

    @property
    def name(self) -> str:
        return f"history-{self.events}"

    async def measure(self, store: str, stores: Stores, directory: pathlib.Path) -> list[Figure]:
        """One round; nothing on another store."""
        if store != "sqlite":
            return []
        begun = time.perf_counter()
        made = await make_store(directory / "made", Shape(1, self.events - BESIDE_LINES))
        stored = time.perf_counter() - begun
        whole = await _milliseconds(lambda: made.read(_go_on))
        begun = time.perf_counter()
        await snapshot_run(made, run_id(0), EVERY)
        taken = time.perf_counter() - begun
        restored = await _milliseconds(lambda: made.read(_go_on))
        size, of_events = await made.read(_bytes)
        await made.close()
        on_disk = sum(file.stat().st_size for file in (directory / "made").glob("perdure.db*"))
        figures = {
            "to store an event": (1000 * stored / self.events, "ms"),
            "an event on disk": (on_disk / self.events, "bytes"),
            "an event's own": (of_events / self.events, "bytes"),
            "snapshot, an event": (1000 * taken / self.events, "ms"),
            "snapshot": (size, "bytes"),
            "fold, whole log": (whole, "ms"),
            "fold, from snapshot": (restored, "ms"),
        }
        return [Figure(store, self.name, name, value, unit) for name, (value, unit) in figures.items()]


async def _milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    spent = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        await work()
        spent.append(time.perf_counter() - begun)
    return 1000 * min(spent)


def _go_on(tx: SqlTransaction) -> None:
    """What whoever goes on with the run reads and folds, outputs and lines included."""
    position = position_of(tx, tx.runs.get(run_id(0)))
    for recorded in log_events(tx, run_id(0), position.sequence):
        fold_event(position.walk, recorded.event, recorded.sequence)


def _bytes(tx: SqlTransaction) -> tuple[int, int]:
    found = tx.snapshots.find(run_id(0))
    size = len(found.walk.state) + len(found.walk.contents) if found is not None else 0
    return size, sum(len(stored) for _, stored in stored_events(tx, run_id(0)))
