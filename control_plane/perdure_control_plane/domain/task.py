"""Tasks: one for each time a command was begun."""

from dataclasses import dataclass
from enum import StrEnum

from perdure_control_plane.domain.ids import LeaseId, RunId, SessionId, TaskId


class TaskState(StrEnum):
    """Where a task stands."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class TerminalReason(StrEnum):
    """Why a task ended as it did."""

    EXITED = "EXITED"
    SIGNALLED = "SIGNALLED"
    NOT_STARTED = "NOT_STARTED"
    TIMED_OUT = "TIMED_OUT"
    STOPPED = "STOPPED"
    EXECUTOR_LOST = "EXECUTOR_LOST"


@dataclass(frozen=True, slots=True)
class Task:
    """One execution of a command: an attempt under a lease. `ended_at` is 0 while it runs."""

    task_id: TaskId
    session_id: SessionId
    run_id: RunId
    instance: str
    lease_id: LeaseId
    command: str
    state: TaskState
    terminal_reason: TerminalReason | None
    exit_code: int | None
    signal: int
    output_bytes: int
    output_truncated: bool
    duration_micros: int
    started_at: int
    ended_at: int

    @property
    def name(self) -> str:
        """The task's resource name."""
        return f"sessions/{self.session_id}/tasks/{self.task_id}"
