"""Rows of runs and logs on SQLite, where a statement costs microseconds and the one writer has the database to itself."""

from collections.abc import Collection, Sequence

from perdure.runlog.head import RunHead
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.log_rows import Move
from perdure_control_plane.storage.run_events import RunEventStatements
from perdure_control_plane.storage.runs import Runs
from perdure_control_plane.storage.statements import DriverConnection, Row


class SqliteLogRows:
    """One guarded update for each run, then one insertion of all events: `executemany` does not say which rows it met."""

    def __init__(self, driver: DriverConnection, runs: Runs, events: RunEventStatements) -> None:
        self._driver = driver
        self._runs = runs
        self._events = events

    def heads(self, run_ids: Sequence[RunId]) -> dict[RunId, RunHead | None]:
        """Heads as they are now; runs that do not exist are left out."""
        found: dict[RunId, RunHead | None] = {}
        for run_id in run_ids:
            head = self._runs.head(run_id)
            if head is not None:
                found[run_id] = head
        return found

    def store(self, moves: Sequence[Move], *, alone: bool) -> Collection[RunId]:
        """Stores heads and events of the moves whose rows are where they must be, and returns those runs."""
        stored: set[RunId] = set()
        events: list[Row] = []
        for move in moves:
            save = self._runs.save_head if move.whole else self._runs.save_appended
            if save(move.run_id, move.before, move.after):
                stored.add(move.run_id)
                events += move.events
        self._events.insert.execute_rows(self._driver, events)
        return stored

    def insert_events(self, events: Sequence[Row]) -> None:
        """Stores events whose run was created in this transaction."""
        self._events.insert.execute_rows(self._driver, events)
