"""What happens to approvals, in one order over all runs, so that whoever follows them misses nothing."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from perdure_control_plane.domain.approval import Approval, ApprovalState


class ApprovalChangeKind(StrEnum):
    """What happened."""

    OPENED = "OPENED"
    DECIDED = "DECIDED"
    EXPIRED = "EXPIRED"
    CLOSED = "CLOSED"
    ESCALATED = "ESCALATED"
    REMINDED = "REMINDED"
    DELEGATED = "DELEGATED"
    COMMENTED = "COMMENTED"
    VOIDED = "VOIDED"


LEAVES: Final[dict[ApprovalChangeKind, ApprovalState]] = {
    ApprovalChangeKind.OPENED: ApprovalState.OPEN,
    ApprovalChangeKind.DECIDED: ApprovalState.DECIDED,
    ApprovalChangeKind.EXPIRED: ApprovalState.EXPIRED,
    ApprovalChangeKind.CLOSED: ApprovalState.CLOSED,
    ApprovalChangeKind.ESCALATED: ApprovalState.OPEN,
    ApprovalChangeKind.REMINDED: ApprovalState.OPEN,
    ApprovalChangeKind.DELEGATED: ApprovalState.OPEN,
    ApprovalChangeKind.COMMENTED: ApprovalState.OPEN,
    ApprovalChangeKind.VOIDED: ApprovalState.DECIDED,
}
"""The state that each leaves an approval in."""

ENDS: Final[dict[ApprovalState, ApprovalChangeKind]] = {
    ApprovalState.DECIDED: ApprovalChangeKind.DECIDED,
    ApprovalState.EXPIRED: ApprovalChangeKind.EXPIRED,
    ApprovalState.CLOSED: ApprovalChangeKind.CLOSED,
}
"""What it is called when an approval comes into a state that is an end."""


GOES_ON: Final = {
    f"approval_{kind.value.lower()}": kind
    for kind, state in LEAVES.items()
    if state is ApprovalState.OPEN and kind is not ApprovalChangeKind.OPENED
}
"""What it is called when a fact leaves an approval open, by the fact."""


@dataclass(frozen=True, slots=True)
class ApprovalChange:
    """One change. `sequence` is that of the event in the run's log that says so.

    `approval` is as it was when the change was read: what happened to it since is in it already.
    """

    position: int
    """Its place among all changes, from 1 on."""
    kind: ApprovalChangeKind
    sequence: int
    changed_at: int
    approval: Approval


@dataclass(frozen=True, slots=True)
class ChangesHead:
    """How far the order of changes is. What was up to `pruned_position` was deleted; both are 0 at first."""

    position: int
    pruned_position: int


ApprovalPlace = tuple[int, int, int, str] | tuple[()]
"""Where somebody is in the list of approvals; empty before the first."""


@dataclass(frozen=True, slots=True)
class ChangesCursor:
    """Where a reader of changes goes on: after a position.

    While it is still being shown what is open, `place` is where in that list; None afterwards.
    """

    position: int
    place: ApprovalPlace | None = None
