"""What a run waits for, and where what arrived for it stands."""

from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class Wait:
    """What one instance of a run waits for. `deadline_at` is 0 where it has none."""

    run_id: RunId
    instance: str
    approval_id: ApprovalId | None
    state: WaitState
    opened_at: int
    deadline_at: int
