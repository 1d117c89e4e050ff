"""The queue of ready runs, and who was handed which: `run_queue` and `assignments`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    Select,
    Text,
    any_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Dialect

from perdure.runlog.states import RunState
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.explanation import Place
from perdure_control_plane.domain.ids import Incarnation, LeaseId, RunId
from perdure_control_plane.domain.leases import Assignment, Unheld
from perdure_control_plane.storage.lists import pack, unpack
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import assignments, executors, run_queue, runs


class QueueStatements:
    """Statements over the queue and the assignments, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        needs = (run_queue.c.queue, run_queue.c.fold_version, run_queue.c.providers, run_queue.c.labels)
        ordered = select(run_queue.c.run_id, *needs)
        ordered = ordered.order_by(run_queue.c.priority.desc(), run_queue.c.ready_at, run_queue.c.run_id)
        self.first: Final = Prepared(ordered.limit(bindparam("limit")), dialect)
        self.servable: Final = Prepared(_servable(), dialect) if dialect.name == "postgresql" else None
        self.assign: Final = Prepared(insert(assignments), dialect)
        acked = update(assignments).where(
            assignments.c.run_id == bindparam("where_run_id"), assignments.c.lease_id == bindparam("where_lease_id")
        )
        self.acknowledge: Final = Prepared(acked.values(ack_until=bindparam("ack_until")), dialect)


def _servable() -> Select[Any]:
    """Ready runs that an executor can do, locked, without those that are locked."""
    return (
        select(run_queue.c.run_id)
        .where(
            run_queue.c.queue == any_(bindparam("queues", type_=ARRAY(Text))),
            run_queue.c.fold_version.between(bindparam("fold_lowest"), bindparam("fold_highest")),
            cast(run_queue.c.providers, JSONB).contained_by(cast(bindparam("providers", type_=Text), JSONB)),
            cast(run_queue.c.labels, JSONB).contained_by(cast(bindparam("labels", type_=Text), JSONB)),
        )
        .order_by(run_queue.c.priority.desc(), run_queue.c.ready_at, run_queue.c.run_id)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
    )


class Queue:
    """Reads the queue and keeps the assignments."""

    SCAN_FACTOR: Final = 4
    """How far past the runs it may hand out a claim looks, so that runs it cannot serve do not block those it can."""
    SCAN_LEAST: Final = 20
    """How many runs a claim looks at in any case."""

    def __init__(self, connection: Connection, driver: DriverConnection, statements: QueueStatements) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements

    def servable(self, executor: Executor, limit: int) -> list[RunId]:
        """Ready runs that the executor can do, in the order they are to be handed out.

        Where several servers hand out, those that another is handing out at this moment are passed over.
        """
        if self._statements.servable is not None:
            values = {
                "queues": list(executor.queues),
                "fold_lowest": executor.fold_lowest,
                "fold_highest": executor.fold_highest,
                "providers": pack(executor.providers),
                "labels": pack(executor.labels),
                "limit": limit,
            }
            return [row[0] for row in self._statements.servable.execute(self._driver, values)]
        scan = max(limit * self.SCAN_FACTOR, self.SCAN_LEAST)
        rows = self._statements.first.execute(self._driver, {"limit": scan}).fetchall()
        served = [row[0] for row in rows if _serves(executor, *row[1:])]
        if len(served) < limit and len(rows) == scan:
            served = self._all_servable(executor, limit)
        return served[:limit]

    def _all_servable(self, executor: Executor, limit: int) -> list[RunId]:
        query = (
            select(run_queue.c.run_id, run_queue.c.providers, run_queue.c.labels)
            .where(
                run_queue.c.queue.in_(executor.queues),
                run_queue.c.fold_version.between(executor.fold_lowest, executor.fold_highest),
            )
            .order_by(run_queue.c.priority.desc(), run_queue.c.ready_at, run_queue.c.run_id)
        )
        found: list[RunId] = []
        for run_id, providers, labels in self._connection.execute(query):
            if _has(executor.providers, providers) and _has(executor.labels, labels):
                found.append(run_id)
            if len(found) == limit:
                break
        return found

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


def _serves(executor: Executor, queue: str, fold_version: int, providers: str, labels: str) -> bool:
    return (
        queue in executor.queues
        and executor.fold_lowest <= fold_version <= executor.fold_highest
        and _has(executor.providers, providers)
        and _has(executor.labels, labels)
    )


def _has(there: Sequence[str], needed: str) -> bool:
    return needed == "[]" or set(unpack(needed)) <= set(there)
