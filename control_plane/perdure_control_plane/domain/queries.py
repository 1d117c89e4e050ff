"""What lists can be narrowed to."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from perdure.audit.events import AuditType
from perdure.runlog.states import RunState
from perdure_control_plane.domain.approval import ApprovalState
from perdure_control_plane.domain.ids import FlowId, PlaybookId, RunId, SessionId


class RunCondition(StrEnum):
    """What may be true of a run beside its state."""

    HELD = "HELD"
    IN_DOUBT = "IN_DOUBT"
    AWAITS_DECISION = "AWAITS_DECISION"
    AWAITS_TIME = "AWAITS_TIME"
    AWAITS_SIGNAL = "AWAITS_SIGNAL"
    BACKS_OFF = "BACKS_OFF"
    LIMITED = "LIMITED"


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Runs that match everything that is set."""

    states: tuple[RunState, ...] = ()
    flow_id: FlowId | None = None
    session_id: SessionId | None = None
    playbook_id: PlaybookId | None = None
    parent_run_id: RunId | None = None
    conditions: tuple[RunCondition, ...] = ()
    """Of which one is true; none: of any."""


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Flows that match everything that is set."""

    session_id: SessionId | None = None
    playbook_id: PlaybookId | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Audit events that match everything that is set. Times are in microseconds since 1970; the end is not included."""

    types: tuple[AuditType, ...] = ()
    principal: str = ""
    resource: str = ""
    start_at: int | None = None
    end_at: int | None = None


@dataclass(frozen=True, slots=True)
class ApprovalFilter:
    """Approvals that match everything that is set."""

    states: tuple[ApprovalState, ...] = ()
    assignees: tuple[str, ...] = ()
    """Principals and roles that are asked, every one."""
    asks_one_of: tuple[str, ...] = ()
    """Of which one is asked; none: of any."""
    or_everybody: bool = True
    """Whether those that ask everybody whose role decides ask these, too."""
    is_overdue: bool = False
    """Only those that are open and whose deadline has passed."""
    run_id: RunId | None = None
    flow_id: FlowId | None = None
    session_id: SessionId | None = None

    def of_any_state(self) -> Self:
        """The same, whatever state they are in."""
        return replace(self, states=())
