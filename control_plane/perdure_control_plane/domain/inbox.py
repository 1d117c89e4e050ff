"""What a run waits for, and where what arrived for it stands."""

from dataclasses import dataclass
from enum import StrEnum

from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.ids import ApprovalId, RunId


class FactState(StrEnum):
    """Where a fact in a run's inbox stands."""

    OPEN = "OPEN"
    TAKEN = "TAKEN"
    STALE = "STALE"


class WaitState(StrEnum):
    """Where a wait stands: open → resolved by the first fact → taken up by the holder; or closed without one."""

    OPEN = "OPEN"
    RESOLVED = "RESOLVED"
    TAKEN = "TAKEN"
    CLOSED = "CLOSED"


class WaitKind(StrEnum):
    """What a wait is for; the values are the names of the fields of WaitOpened, and `child` where a run was started."""

    APPROVAL = "approval"
    TIMER = "timer"
    SIGNAL = "signal"
    CHILD = "child"
    BACKOFF = "backoff"


@dataclass(frozen=True, slots=True)
class Wait:
    """What one instance of a run waits for. `deadline_at` is 0 where it has none."""

    run_id: RunId
    instance: str
    kind: WaitKind
    approval_id: ApprovalId | None
    signal: str
    """Name of the signal that it waits for; empty where it is for none."""
    opened_at: int
    deadline_at: int
    child_run_id: RunId | None = None
    """The run whose end it waits for; None where it waits for something else."""


@dataclass(frozen=True, slots=True)
class InboxFact:
    """Something that arrived for a run: the event that says so, and where it stands."""

    recorded: RecordedEvent
    state: FactState
