"""Schedules: at which times which flow is started, and what becomes of each time."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from perdure_control_plane.domain.ids import FlowId, Principal
from perdure_control_plane.domain.limits import SECOND

LATE: Final = 60 * SECOND
"""How late a firing may be before its time counts as missed."""

HORIZON: Final = 7 * 24 * 3600 * SECOND
"""Times that were missed before are not looked at one by one."""


class Overlap(StrEnum):
    """What is done when the flow that was started before has not ended."""

    SKIP = "SKIP"
    QUEUE_ONE = "QUEUE_ONE"
    ALLOW = "ALLOW"
    CANCEL_PREVIOUS = "CANCEL_PREVIOUS"


class Misfire(StrEnum):
    """What is done about times that were missed."""

    SKIP = "SKIP"
    RUN_ONCE = "RUN_ONCE"
    RUN_ALL = "RUN_ALL"


class FiringState(StrEnum):
    """What became of a time."""

    STARTED = "STARTED"
    WAITING = "WAITING"
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule. Times and durations are microseconds; `cron` is empty where it fires at an interval."""

    schedule_id: str
    uid: str
    """Its own for ever, though another schedule may have the id later."""
    principal: Principal
    request_digest: bytes
    start: str
    """What it starts, as JSON."""
    cron: str
    interval: int
    time_zone: str
    overlap: Overlap
    misfire: Misfire
    catch_up_window: int
    jitter: int
    paused: bool
    next_at: int
    """The next of its times; 0 for none."""
    due_at: int
    """When that fires: `next_at` and its part of the jitter."""
    waiting_at: int
    """The time that waits for the flow before to end; 0 for none."""
    last_flow_id: FlowId | None
    created_at: int

    @property
    def name(self) -> str:
        """As the API names it."""
        return f"schedules/{self.schedule_id}"

    def fires_at(self, time: int) -> int:
        """When one of its times fires: the same at whatever server."""
        if not self.jitter or not time:
            return time
        drawn = hashlib.sha256(f"{self.uid}@{time}".encode()).digest()
        return time + int.from_bytes(drawn[:8], "big") % self.jitter

    def is_missed(self, time: int, following: int, now: int) -> bool:
        """Whether a time that has come is not made up for. `following` is the one after it; 0 for none."""
        if now - self.fires_at(time) <= LATE:
            return False
        match self.misfire:
            case Misfire.SKIP:
                return True
            case Misfire.RUN_ONCE:
                return 0 < following <= now
            case Misfire.RUN_ALL:
                return now - time > self.catch_up_window


@dataclass(frozen=True, slots=True)
class Firing:
    """What became of a time of a schedule."""

    schedule_id: str
    scheduled_at: int
    fired_at: int
    state: FiringState
    flow_id: FlowId | None
    message: str
    triggered: bool
