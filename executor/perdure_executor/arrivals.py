"""Runs that are handed out here and whose log is still on its way."""

from dataclasses import dataclass, field

from perdure.v1.execution_pb2 import Assignment, Delivery, History
from perdure.v1.run_events_pb2 import RecordedEvent


@dataclass(slots=True)
class Arrival:
    """A run as far as it has come."""

    assignment: Assignment
    events: list[RecordedEvent]
    """Its log so far, or what is after the snapshot."""
    snapshot: bytearray = field(default_factory=bytearray)
    """The walk before those events, as far as it has come; empty where the log comes whole."""
    facts: list[RecordedEvent] = field(default_factory=list)
    """Facts that came after it was handed out."""


class Arrivals:
    """Puts the pieces of logs together. Nothing of them outlives its stream."""

    def __init__(self) -> None:
        self._arrivals: dict[int, Arrival] = {}

    def __len__(self) -> int:
        return len(self._arrivals)

    @property
    def runs(self) -> list[tuple[str, str]]:
        """Run and lease of each."""
        return [(arrival.assignment.run_id, arrival.assignment.lease_id) for arrival in self._arrivals.values()]

    def clear(self) -> None:
        """The stream is gone, and with it what was on its way."""
        self._arrivals.clear()

    def add(self, assignment: Assignment) -> Arrival | None:
        """A run was handed out. Returns it where its log is whole already."""
        arrival = Arrival(assignment, list(assignment.events))
        if not assignment.history_follows:
            return arrival
        self._arrivals[assignment.number] = arrival
        return None

    def go_on(self, history: History) -> Arrival | None:
        """The next piece of a log. Returns the run where that was the last."""
        arrival = self._arrivals.get(history.number)
        if arrival is None:
            return None
        arrival.snapshot += history.snapshot
        arrival.events.extend(history.events)
        return self._arrivals.pop(history.number) if history.last else None

    def deliver(self, delivery: Delivery) -> None:
        """Keeps facts for a run that is still on its way; it is told of them when it begins."""
        for arrival in self._arrivals.values():
            if (arrival.assignment.run_id, arrival.assignment.lease_id) == (delivery.run_id, delivery.lease_id):
                arrival.facts.extend(delivery.facts)

    def drop(self, run_id: str, lease_id: str) -> bool:
        """The run is not to come any more. False where it was not on its way."""
        for number, arrival in self._arrivals.items():
            if (arrival.assignment.run_id, arrival.assignment.lease_id) == (run_id, lease_id):
                del self._arrivals[number]
                return True
        return False
