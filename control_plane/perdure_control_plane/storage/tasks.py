"""Tasks, as their readers see them; `projections` writes them."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.errors import NotFound
from perdure_control_plane.domain.ids import FlowId, RunId, SessionId, TaskId
from perdure_control_plane.domain.task import Task, TaskState, TerminalReason
from perdure_control_plane.storage.tables import runs, tasks

_COLUMNS = list(tasks.c)


class Tasks:
    """Reads tasks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, task_id: TaskId) -> Task | None:
        """The task, or None."""
        row = self._connection.execute(select(*_COLUMNS).where(tasks.c.task_id == task_id)).first()
        return None if row is None else _task(row)

    def get(self, session_id: SessionId, task_id: TaskId) -> Task:
        """The task of a session. Raises NotFound."""
        task = self.find(task_id)
        if task is None or task.session_id != session_id:
            raise NotFound(f"sessions/{session_id}/tasks/{task_id}")
        return task

    def page(
        self, session_id: SessionId, run_id: RunId | None, before: tuple[int, str] | None, limit: int
    ) -> list[Task]:
        """A session's tasks, the latest first, that come before a (start, id)."""
        query = select(*_COLUMNS).where(tasks.c.session_id == session_id)
        query = query.order_by(tasks.c.started_at.desc(), tasks.c.task_id.desc()).limit(limit)
        if run_id is not None:
            query = query.where(tasks.c.run_id == run_id)
        if before is not None:
            started_at, task_id = before
            earlier = (tasks.c.started_at == started_at) & (tasks.c.task_id < task_id)
            query = query.where((tasks.c.started_at < started_at) | earlier)
        return [_task(row) for row in self._connection.execute(query)]

    def of_instances(self, run_id: RunId, instances: Iterable[str]) -> list[Task]:
        """Every task of some attempts of a run, in the order they began."""
        wanted = (tasks.c.run_id == run_id) & tasks.c.instance.in_(list(instances))
        query = select(*_COLUMNS).where(wanted).order_by(tasks.c.started_at, tasks.c.task_id)
        return [_task(row) for row in self._connection.execute(query)]

    def completed_instances(self, flow_id: FlowId) -> set[str]:
        """Every attempt of a flow's runs whose task completed."""
        query = select(tasks.c.instance).join(runs, runs.c.run_id == tasks.c.run_id)
        completed = (runs.c.flow_id == flow_id) & (tasks.c.state == TaskState.COMPLETED.value)
        return set(self._connection.execute(query.where(completed)).scalars())

    def names_of_flow(self, flow_id: FlowId) -> tuple[str, ...]:
        """The resource names of every task of a flow, in the order they began."""
        query = (
            select(*_COLUMNS)
            .join(runs, runs.c.run_id == tasks.c.run_id)
            .where(runs.c.flow_id == flow_id)
            .order_by(tasks.c.started_at, tasks.c.task_id)
        )
        return tuple(_task(row).name for row in self._connection.execute(query))


def _task(row: Any) -> Task:
    values = dict(zip((column.name for column in tasks.c), row, strict=True))
    values["state"] = TaskState(values["state"])
    values["terminal_reason"] = TerminalReason(values["terminal_reason"]) if values["terminal_reason"] else None
    values["output_truncated"] = bool(values["output_truncated"])
    return Task(**values)
