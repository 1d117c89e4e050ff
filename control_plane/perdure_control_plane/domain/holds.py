"""Holds of a run: what forbids it to go on, since when, by whom and why."""

from dataclasses import dataclass

from perdure.runlog.head import Hold


@dataclass(frozen=True, slots=True)
class StandingHold:
    """A hold that has not been released."""

    cause: Hold
    sequence: int
    """Of the event that placed it."""
    placed_at: int
    """Microseconds since 1970, by the store's clock."""
    actor: str
    reason: str
