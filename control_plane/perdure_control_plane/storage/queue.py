"""Who was handed which run, and where in the queue a ready run stands: `assignments` and `run_queue`."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import bindparam, case, func, insert, literal_column, or_, select, update
from sqlalchemy.engine import Connection, Dialect

from perdure.runlog.states import RunState
from perdure_control_plane.domain.explanation import Place
from perdure_control_plane.domain.ids import Incarnation, LeaseId, RunId
from perdure_control_plane.domain.leases import Assignment, Unheld
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import assignments, executors, run_queue, runs


class QueueStatements:
    """Statements over the queue and the assignments, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        self.assign: Final = Prepared(insert(assignments), dialect)
        acked = update(assignments).where(
            assignments.c.run_id == bindparam("where_run_id"), assignments.c.lease_id == bindparam("where_lease_id")
        )
        self.acknowledge: Final = Prepared(acked.values(ack_until=bindparam("ack_until")), dialect)


class Queue:
    """Reads the queue and keeps the assignments."""

    def __init__(self, connection: Connection, driver: DriverConnection, statements: QueueStatements) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements

    def assign(self, given: Iterable[Assignment]) -> None:
        """Notes that runs were handed out."""
        rows = [(a.run_id, a.lease_id, a.incarnation, a.stream_number, a.number, a.ack_until) for a in given]
        self._statements.assign.execute_rows(self._driver, rows)

    def acknowledge(self, leases: Iterable[tuple[RunId, LeaseId]]) -> None:
        """Notes that an executor has what it was handed."""
        rows = [(0, run_id, lease_id) for run_id, lease_id in leases]
        self._statements.acknowledge.execute_rows(self._driver, rows)

    def of_executor(self, incarnation: Incarnation) -> list[tuple[Assignment, int]]:
        """What the executor was handed and has not given back, each with the run's last fact.

        An assignment under which events came is confirmed.
        """
        query = (
            select(*assignments.c, runs.c.outside_sequence, runs.c.next_ordinal > 1)
            .join(runs, runs.c.run_id == assignments.c.run_id)
            .where(assignments.c.incarnation == incarnation)
        )
        return [_assignment(row) for row in self._connection.execute(query)]

    def unheld(self, at: int, limit: int, run_id: RunId | None = None) -> list[Unheld]:
        """Running runs, or one of them, whose assignment or executor is missing, whose executor's lease or confirmation
        is overdue. An event under the lease confirms the assignment, too."""
        lease_until = func.coalesce(executors.c.lease_until, literal_column("0"))
        unconfirmed = case((runs.c.next_ordinal == 1, assignments.c.ack_until), else_=literal_column("0"))
        ack_until = func.coalesce(unconfirmed, literal_column("0"))
        query = (
            select(runs.c.run_id, lease_until, func.coalesce(executors.c.renewed_at, literal_column("0")), ack_until)
            .select_from(runs)
            .outerjoin(
                assignments, (assignments.c.run_id == runs.c.run_id) & (assignments.c.lease_id == runs.c.lease_id)
            )
            .outerjoin(executors, executors.c.incarnation == assignments.c.incarnation)
            .where(runs.c.state == RunState.RUNNING.value)
            .where((lease_until < at) | ((ack_until > 0) & (ack_until < at)))
            .limit(limit)
        )
        if run_id is not None:
            query = query.where(runs.c.run_id == run_id)
        return [Unheld(*row) for row in self._connection.execute(query)]

    def place(self, run_id: RunId) -> Place:
        """Since when a run that is in the queue is ready, and how many of its queue's runs are handed out before it."""
        it = select(run_queue).where(run_queue.c.run_id == run_id).subquery()
        same_priority = run_queue.c.priority == it.c.priority
        same_time = same_priority & (run_queue.c.ready_at == it.c.ready_at)
        before = or_(
            run_queue.c.priority > it.c.priority,
            same_priority & (run_queue.c.ready_at < it.c.ready_at),
            same_time & (run_queue.c.run_id < it.c.run_id),
        )
        ahead = select(func.count()).select_from(run_queue).where(run_queue.c.queue == it.c.queue, before)
        row = self._connection.execute(select(it.c.ready_at, ahead.scalar_subquery())).one()
        return Place(*row)


def _assignment(row: Any) -> tuple[Assignment, int]:
    *values, last_fact, has_events = row
    assignment = Assignment(*values)
    return (replace(assignment, ack_until=0) if has_events else assignment), last_fact
