"""What is deleted when it has ended long ago: whole flows, with every run of theirs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would be deleted of a store. Times are microseconds since 1970, 0 where nothing would."""

    flows: int
    runs: int
    events: int
    bytes: int
    """Size of the events."""
    oldest_end_at: int
    newest_end_at: int


@dataclass(frozen=True, slots=True)
class Unpurged:
    """What is left of runs that were deleted: their events go bit by bit, and whoever deleted them may have been ended."""

    runs: int
    events: int


@dataclass(frozen=True, slots=True)
class Retained:
    """What one look has deleted."""

    flows: int
    runs: int
    events: int
    """Events of runs that this look, or an earlier one, has deleted."""
    payloads: int
    """Payloads that no event named any more."""

    @property
    def is_done(self) -> bool:
        """Whether there was nothing to delete."""
        return not (self.flows or self.events or self.payloads)
