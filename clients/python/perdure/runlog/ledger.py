"""The effect ledger: what a run has done, or may have done, to the world outside, read off its log.

It has the attempts whose effect is not `none`. A position is safe to branch from when whatever had begun there had ended,
nothing has begun since, and nobody holds the run: then nothing would be done twice, and nothing is under way.
"""

from dataclasses import dataclass, field
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from perdure.runlog.effects import GUARDED, idempotency_key
from perdure.runlog.instances import Instance, instance
from perdure.v1 import fact_events_pb2, instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RecordedEvent


@dataclass(slots=True)
class LedgerEntry:
    """One attempt with an effect. Sequences are 0 for what has not happened."""

    instance: Instance
    effect: instances_pb2.Effect.ValueType
    idempotency_key: str
    begun_sequence: int
    begun_time: Timestamp
    executor_id: str
    lease_id: str
    beginnings: int = 1
    """How often it was begun: a repeatable one begins again when its executor is lost."""
    settled_sequence: int = 0
    settled_time: Timestamp | None = None
    outcome: instances_pb2.Outcome.ValueType = instances_pb2.OUTCOME_UNSPECIFIED
    lost: bool = False
    """Whether its executor was lost with it, and it may begin again by itself."""
    doubted_sequence: int = 0
    """The loss, or the word of its executor, since which it is in doubt, or was."""
    resolution_sequence: int = 0
    resolution: fact_events_pb2.EffectResolution | None = None
    resolver: str = ""
    reports: list[tuple[int, fact_events_pb2.LateReported]] = field(default_factory=list)

    @property
    def over_sequence(self) -> int:
        """Where it is known what became of it: its settlement, or an answer by which it is done again."""
        retried = self.resolution is not None and self.resolution.kind == fact_events_pb2.RESOLUTION_KIND_RETRY
        return self.settled_sequence or (self.resolution_sequence if retried else 0)


@dataclass(frozen=True, slots=True)
class Safety:
    """What stands against branching from a position."""

    unsettled: tuple[Instance, ...]
    """Effects that had begun there and were not over."""
    repeats: int
    """Effects that have begun since: a branch would do them again."""
    guarded_repeats: int
    """Those of them that must not be repeated, whatever key they are given."""
    held: bool
    """Whether somebody holds the run, so that more may begin."""

    @property
    def safe(self) -> bool:
        """Whether nothing does."""
        return not (self.unsettled or self.repeats or self.held)


class EffectLedger:
    """Takes a log's control events in order."""

    def __init__(self) -> None:
        self.entries: Final[dict[Instance, LedgerEntry]] = {}
        """In the order in which they began."""
        self.held = False
        self._lineage = instances_pb2.Lineage()
        self._executors: dict[str, str] = {}

    def take(self, recorded: RecordedEvent) -> None:
        """Notes what the next event says of effects."""
        event, sequence = recorded.event, recorded.sequence
        match event.WhichOneof("kind"):
            case "run_created":
                self._lineage.CopyFrom(event.run_created.lineage)
            case "lease_granted":
                self.held = True
                self._executors[event.lease_granted.lease_id] = event.lease_granted.executor_id
            case "lease_returned" | "run_paused":
                self.held = False
            case "lease_revoked" | "run_ended":
                self.held = False
                self._doubt_open(sequence)
            case "node_started" if event.node_started.effect != instances_pb2.EFFECT_NONE:
                self._begin(event.node_started, recorded)
            case "node_settled" if entry := self.entries.get(instance(event.node_settled.instance)):
                entry.settled_sequence, entry.settled_time = sequence, recorded.stored_time
                entry.outcome = event.node_settled.outcome
            case "node_in_doubt" if entry := self.entries.get(instance(event.node_in_doubt.instance)):
                entry.doubted_sequence = sequence
            case "fact_recorded":
                self._take_fact(event.fact_recorded, recorded)

    def safety_at(self, sequence: int) -> Safety:
        """What stands against branching from a position of this run."""
        before = [entry for entry in self.entries.values() if entry.begun_sequence <= sequence]
        after = [entry for entry in self.entries.values() if entry.begun_sequence > sequence]
        unsettled = [entry.instance for entry in before if not 0 < entry.over_sequence <= sequence]
        guarded = sum(entry.effect in GUARDED for entry in after)
        return Safety(tuple(unsettled), len(after), guarded, self.held)

    def _begin(self, started: node_events_pb2.NodeStarted, recorded: RecordedEvent) -> None:
        where, lease_id = instance(started.instance), recorded.holder.lease_id
        entry = self.entries.get(where)
        executor_id = self._executors.get(lease_id, "")
        if entry is not None:
            entry.beginnings, entry.executor_id, entry.lease_id = entry.beginnings + 1, executor_id, lease_id
            entry.lost = False
            return
        key = idempotency_key(self._lineage.lineage_id, where.path, (*self._lineage.prefix_redos, started.redo))
        sequence, time = recorded.sequence, recorded.stored_time
        self.entries[where] = LedgerEntry(where, started.effect, key, sequence, time, executor_id, lease_id)

    def _doubt_open(self, sequence: int) -> None:
        for entry in self.entries.values():
            if not entry.settled_sequence and not entry.doubted_sequence:
                entry.lost = entry.effect not in GUARDED
                entry.doubted_sequence = 0 if entry.lost else sequence

    def _take_fact(self, fact: fact_events_pb2.FactRecorded, recorded: RecordedEvent) -> None:
        entry = self.entries.get(instance(fact.instance)) if fact.HasField("instance") else None
        if entry is None:
            return
        match fact.WhichOneof("fact"):
            case "resolution":
                entry.resolution_sequence, entry.resolution = recorded.sequence, fact.resolution
                entry.resolver = recorded.outside.actor
            case "late_report":
                entry.reports.append((recorded.sequence, fact.late_report))
                if fact.late_report.reopens_doubt:
                    entry.resolution_sequence, entry.resolution, entry.resolver = 0, None, ""
