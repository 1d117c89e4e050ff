"""What a holder knows of its run: the log it was handed, facts that came since, and events of its own, stored or not.

Events that are stored become part of a snapshot after a while, so that what is kept does not grow with the log.
"""

from collections.abc import Collection, Iterable
from typing import Final

from perdure.runlog.folding import fold_event
from perdure.runlog.instances import Instance, instance
from perdure.runlog.plans import WalkPlan
from perdure.runlog.snapshots import restore_walk, take_snapshot
from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure_executor.event_stream import EventStream, Pending

FOLLOWING: Final = frozenset({"fact_taken_up", "node_output", "node_settled", "jumped", "choice_made", "failure_taken"})
"""Kinds of decisions that follow from what the log holds, and begin nothing."""


KEPT_EVENTS: Final = 500
"""Events that are kept at least before those that are stored become part of the snapshot; an event counts for a KiB of
it, so that a large one is made as seldom as it is large."""


class Story:
    """Folds events in the order the log will have them; what the server does not take is unfolded again."""

    def __init__(self, plan: WalkPlan, stream: EventStream) -> None:
        self.walk = Walk(plan)
        self._plan = plan
        self._stream = stream
        self._snapshot = b""
        """The walk before the events that are kept; empty where nothing is before them."""
        self._events: list[tuple[RunEvent, int, int]] = []
        """Every event folded since, with its sequence (0 for the holder's own) and its ordinal (0 for all others)."""
        self._shorten_at = KEPT_EVENTS

    @property
    def kept(self) -> int:
        """How many events are held in memory."""
        return len(self._events)

    def begin(self, snapshot: bytes, history: Iterable[RecordedEvent]) -> None:
        """Folds the run's log: what is after a snapshot, or all of it. Raises SnapshotUnreadable."""
        if snapshot:
            self._snapshot = snapshot
            self.walk = self._restored()
        for recorded in history:
            self._fold(recorded.event, recorded.sequence, 0)

    def append(self, event: RunEvent, *, keep: bool) -> int:
        """Folds an event and sends it on its way; returns its ordinal."""
        ordinal = self._stream.append(event, keep=keep)
        self._fold(event, 0, ordinal)
        return ordinal

    def take_in(self, facts: Iterable[RecordedEvent]) -> None:
        """Folds facts that were delivered; those folded before are passed over."""
        for recorded in facts:
            if recorded.sequence > self._stream.seen:
                self._fold(recorded.event, recorded.sequence, 0)
                if recorded.event.WhichOneof("kind") != "fact_content":
                    self._stream.seen = recorded.sequence

    def take_back(self, ordinal: int) -> list[Pending]:
        """Unfolds the holder's own events from an ordinal on, and returns them."""
        dropped = self._stream.drop_from(ordinal)
        events, self._events, self.walk = self._events, [], self._restored()
        for event, sequence, own in events:
            if own < ordinal:
                self._fold(event, sequence, own)
        return dropped

    def place_of(self, ordinal: int) -> Instance:
        """The attempt that an event of the holder's own is about."""
        event = next(event for event, _, own in self._events if own == ordinal)
        return instance(getattr(event, event.WhichOneof("kind") or "").instance)

    def _fold(self, event: RunEvent, sequence: int, ordinal: int) -> None:
        fold_event(self.walk, event, sequence)
        self._events.append((event, sequence, ordinal))
        if len(self._events) >= self._shorten_at:
            self._shorten()

    def _restored(self) -> Walk:
        return restore_walk(self._plan, self._snapshot)[0] if self._snapshot else Walk(self._plan)

    def _shorten(self) -> None:
        """Makes a new snapshot with what is stored: that is never taken back."""
        acknowledged = self._stream.acknowledged
        pending = (place for place, (_, _, own) in enumerate(self._events) if own > acknowledged)
        stored = next(pending, len(self._events))
        if stored * 2 >= KEPT_EVENTS:
            walk = self._restored()
            for event, sequence, _ in self._events[:stored]:
                fold_event(walk, event, sequence)
            taken = take_snapshot(walk, 0)
            self._snapshot = taken.state + taken.contents
            del self._events[:stored]
        self._shorten_at = len(self._events) + max(KEPT_EVENTS, len(self._snapshot) // 1024)


def worth_keeping(dropped: list[Pending], begun: Collection[Instance]) -> list[Pending]:
    """Of events that were taken back: what has happened, and what follows from facts.

    Left out is what would begin, or must first have seen every fact. What follows from a fact stays true whatever comes
    later, and work that has begun since may rest on it. `begun` are attempts under way whose work has begun.
    """
    if any(pending.kind == "jump_begun" for pending in dropped):
        _fail_again(dropped)
    told = {place(pending) for pending in dropped if pending.keep}
    mapped = {where.path[-1]._replace(item=0) for where in (*begun, *told) if where.path and where.path[-1].item}
    undone = {place(pending) for pending in dropped if pending.kind == "node_settled" and pending.synchronising}
    # A signal that had come before may have been taken by a wait that is not there after all.
    # And a map that has not begun after all has come to no end, though nothing is to be done for an empty list.
    undone |= {place(pending) for pending in dropped if pending.kind in ("wait_opened", "map_begun")}
    kept = []
    for pending in dropped:
        where = place(pending)
        if pending.kind == "node_started":
            if where in begun or where in told:
                pending.event.node_started.ran_ahead = True
                kept.append(pending)
        elif pending.kind in ("map_items", "map_begun"):
            if where.path[-1] in mapped:  # items of it have begun: it is over what they have seen
                kept.append(pending)
        elif pending.keep or (pending.kind in FOLLOWING and not pending.synchronising and where not in undone):
            kept.append(pending)
    return kept


def _fail_again(dropped: list[Pending]) -> None:
    """The jump that these attempts ended under has not begun after all."""
    for pending in dropped:
        if pending.event.node_settled.outcome == instances_pb2.OUTCOME_JUMPED_OVER:
            pending.event.node_settled.outcome = instances_pb2.OUTCOME_FAILED


def place(pending: Pending) -> Instance:
    """The attempt that an event is about; of no node, where it is about none."""
    body = getattr(pending.event, pending.kind)
    return instance(getattr(body, "instance", instances_pb2.Instance()))
