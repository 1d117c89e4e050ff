"""Statements over waits, inbox, approvals and tasks, and the values of their rows that hold nothing yet."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Table, Update, bindparam, insert, select, update
from sqlalchemy.engine import Dialect

from perdure_control_plane.domain.inbox import WaitState
from perdure_control_plane.storage.approval_changes import ApprovalChangeStatements
from perdure_control_plane.storage.run_messages import RunMessageStatements
from perdure_control_plane.storage.statements import Prepared
from perdure_control_plane.storage.tables import approval_events, approvals, run_inbox, run_waits, runs, tasks

NO_RESULT: Final[dict[str, Any]] = {
    "exit_code": None,
    "signal": 0,
    "output_bytes": 0,
    "output_truncated": 0,
    "duration_micros": 0,
}
NEW_TASK: Final[dict[str, Any]] = {**NO_RESULT, "terminal_reason": None, "ended_at": 0}
_TASK_END: Final = ("state", "terminal_reason", "ended_at", *NO_RESULT)

_WAIT_END: Final = ("state", "fact_sequence", "deadline_at")
NEW_WAIT: Final[dict[str, Any]] = {
    "approval_id": None,
    "signal": "",
    "state": WaitState.OPEN.value,
    "fact_sequence": 0,
    "deadline_at": 0,
    "child_run_id": None,
}
NO_DECISION: Final[dict[str, Any]] = {
    "decision": None,
    "decider": None,
    "authenticated": 0,
    "reason": "",
    "selected_option": "",
    "content_digest": b"",
    "automatic": 0,
}
_APPROVAL_END: Final = ("state", "close_reason", "closed_at", "closed_sequence", *NO_DECISION)


class ProjectionStatements:
    """Statements over the projections, compiled once. In an update, `where_` marks the parameters that select."""

    def __init__(self, dialect: Dialect) -> None:
        self.messages: Final = RunMessageStatements(dialect)
        self.approval_changes: Final = ApprovalChangeStatements(dialect)
        self.begin_task: Final = _insert_from_run(dialect, tasks, {"session_id": runs.c.session_id})
        self.end_task: Final = _update(dialect, tasks, ["task_id"], _TASK_END)
        self.lose_tasks: Final = _update(dialect, tasks, ["run_id", "state"], ["state", "terminal_reason", "ended_at"])
        self.open_wait: Final = Prepared(insert(run_waits), dialect)
        self.move_wait: Final = _update(dialect, run_waits, ["run_id", "instance", "state"], _WAIT_END)
        self.take_wait: Final = _update(dialect, run_waits, ["run_id", "fact_sequence"], ["state"])
        self.close_waits: Final = _update(dialect, run_waits, ["run_id", "state"], ["state", "deadline_at"])
        asked_for = {column.name: column for column in (runs.c.flow_id, runs.c.session_id, runs.c.plan_digest)}
        self.ask_approval: Final = _insert_from_run(dialect, approvals, asked_for)
        self.end_approval: Final = _update(dialect, approvals, ["run_id", "instance", "state"], _APPROVAL_END)
        is_open = ["run_id", "instance", "state"]
        escalated = ["assignees", "escalations", "escalated_at", "due_at"]
        others = {"ever_asked": approvals.c.ever_asked + bindparam("also_asked")}
        self.escalate_approval: Final = Prepared(_update_where(approvals, is_open, escalated).values(others), dialect)
        self.remind_approval: Final = _update(dialect, approvals, is_open, ["reminders"])
        remarked = {"remarks": approvals.c.remarks + 1}
        delegated = _update_where(approvals, is_open, ["assignees"]).values(remarked | others)
        self.delegate_approval: Final = Prepared(delegated, dialect)
        self.comment_approval: Final = Prepared(_update_where(approvals, is_open, []).values(remarked), dialect)
        self.void_approval: Final = _update(dialect, approvals, is_open, ["close_reason"])
        self.note_approval: Final = Prepared(insert(approval_events), dialect)
        closed = ["state", "close_reason", "closed_at"]
        self.close_approvals: Final = _update(dialect, approvals, ["run_id", "state"], closed)
        self.record_fact: Final = Prepared(insert(run_inbox), dialect)
        self.take_fact: Final = _update(dialect, run_inbox, ["run_id", "sequence"], ["state"])
        self.void_facts: Final = _update(dialect, run_inbox, ["run_id", "instance", "fact", "state"], ["state"])
        self.void_facts_of: Final = _update(dialect, run_inbox, ["run_id", "fact", "state"], ["state"])


def _insert_from_run(dialect: Dialect, table: Table, from_run: dict[str, Any]) -> Prepared:
    # What the run's own row knows comes from there, so that no caller has to.
    values = [from_run.get(column.name, bindparam(column.name, type_=column.type)) for column in table.c]
    row = select(*values).where(runs.c.run_id == bindparam("run_id"))
    return Prepared(insert(table).from_select([column.name for column in table.c], row), dialect)


def _update(dialect: Dialect, table: Table, where: Iterable[str], columns: Iterable[str]) -> Prepared:
    return Prepared(_update_where(table, where, columns), dialect)


def _update_where(table: Table, where: Iterable[str], columns: Iterable[str]) -> Update:
    selected = [table.c[name] == bindparam(f"where_{name}") for name in where]
    changed: dict[str, Any] = {name: bindparam(name) for name in columns}
    return update(table).where(*selected).values(changed)
