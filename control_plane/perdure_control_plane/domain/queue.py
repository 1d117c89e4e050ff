"""A queue: what waits in it, what goes on of it, and the limits of both."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The limits of a queue; 0 means that there is none. Times and periods are microseconds."""

    queue: str
    max_at_work: int = 0
    max_queued: int = 0
    rate_runs: int = 0
    rate_period: int = 0
    next_at: int = 0
    """From when its rate lets a run be handed out."""
    updated_at: int = 0
    updated_by: str = ""
    reason: str = ""

    def room(self, at_work: int, at: int) -> int | None:
        """How many runs may be handed out now, while so many are at work; None: any number."""
        bounds = []
        if self.max_at_work:
            bounds.append(max(0, self.max_at_work - at_work))
        if self.rate_runs:
            bounds.append(0 if at < self.next_at else min(self.rate_runs, (at - self.next_at) // self._interval + 1))
        return min(bounds, default=None)

    def after(self, runs: int, at: int) -> "QueueLimits":
        """As they are when so many runs, for which there was room, have been handed out."""
        if not self.rate_runs:
            return self
        # What was not used of more than a period ago is not saved up.
        first = max(self.next_at, at - (self.rate_runs - 1) * self._interval)
        return replace(self, next_at=first + runs * self._interval)

    @property
    def _interval(self) -> int:
        return max(1, self.rate_period // self.rate_runs)


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as it is at one moment."""

    limits: QueueLimits
    queued: int
    at_work: int

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"queues/{self.limits.queue}"
