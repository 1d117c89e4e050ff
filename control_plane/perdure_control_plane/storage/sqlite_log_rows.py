"""Rows of runs and logs on SQLite, where a statement costs microseconds and the one writer has the database to itself."""

from collections.abc import Collection, Sequence

from perdure.runlog.head import RunHead
from perdure_control_plane.domain.flow import Flow
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run import RunIdentity
from perdure_control_plane.storage.audit import AuditStatements
from perdure_control_plane.storage.flows import FlowStatements, flow_row
from perdure_control_plane.storage.log_rows import Move
from perdure_control_plane.storage.run_events import RunEventStatements
from perdure_control_plane.storage.runs import Runs
from perdure_control_plane.storage.statements import DriverConnection, Row


class SqliteLogRows:
    """One guarded update for each run, then one insertion of all events: `executemany` does not say which rows it met."""

    def __init__(
        self,
        driver: DriverConnection,
        runs: Runs,
        events: RunEventStatements,
        flows: FlowStatements,
        audit: AuditStatements,
    ) -> None:
        self._driver = driver
        self._runs = runs
        self._events = events
        self._flows = flows
        self._audit = audit

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

    def create(self, run: RunIdentity, move: Move) -> None:
        """Stores a new run with its first events and its place in the queue."""
        self._runs.insert(run, move.after)
        self._events.insert.execute_rows(self._driver, move.events)

    def begin(self, run: RunIdentity, move: Move, flow: Flow, audited: Row) -> None:
        """Stores a flow, its root run as `create` does, and the audit event of its start."""
        self._flows.insert.execute_row(self._driver, flow_row(flow))
        self.create(run, move)
        self._audit.add.execute_row(self._driver, audited)
