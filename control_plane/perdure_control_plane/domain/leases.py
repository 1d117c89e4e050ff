"""Who was handed what, and when the store was away."""

from collections.abc import Iterable
from dataclasses import dataclass

from perdure_control_plane.domain.ids import Incarnation, LeaseId, RunId


@dataclass(frozen=True, slots=True)
class Assignment:
    """A run handed to an executor. `ack_until` is 0 once the executor has confirmed it."""

    run_id: RunId
    lease_id: LeaseId
    incarnation: Incarnation
    stream_number: int
    number: int
    ack_until: int


@dataclass(frozen=True, slots=True)
class Unheld:
    """A running run whose holder is missing, silent, or has not confirmed. `lease_until` is 0 where there is none."""

    run_id: RunId
    lease_until: int
    renewed_at: int
    ack_until: int


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which the store did not take writes. No lease and no person is charged with it."""

    began_at: int
    ended_at: int


@dataclass(frozen=True, slots=True)
class StoreMark:
    """Which life of the store this is: `generation` rises when it went back, `starts` at every start.

    `origin` names the copy of the data that it was made in; empty where a store cannot tell copies apart.
    """

    generation: int
    starts: int
    origin: str = ""


def overdue(deadline: int, set_at: int, now: int, outages: Iterable[Outage]) -> bool:
    """Whether a deadline has passed, not counting the outages since it was set."""
    lost = sum(
        max(0, min(outage.ended_at, now) - max(outage.began_at, set_at))
        for outage in outages
        if outage.ended_at > set_at
    )
    return deadline + lost < now
