"""Checks a run's log: every event is one that its plan and the log before it allow.

The checker runs the interpreter again over the log. It takes nobody's word: what executors, clients and targets have
seen themselves is compared in `witnesses`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from perdure.runlog.deadlines import Patience, patience
from perdure.runlog.effects import GUARDED, idempotency_key
from perdure.runlog.folding import fold_event
from perdure.runlog.head import IllegalEvent, RunHead, advance
from perdure.runlog.instances import Instance, instance
from perdure.runlog.map_rules import count_faults
from perdure.runlog.plans import WalkPlan
from perdure.runlog.rest_rules import rest_faults, row_faults
from perdure.runlog.rules import (
    Fault,
    Rule,
    fact_faults,
    origin_faults,
    step_faults,
    taking_faults,
)
from perdure.runlog.wait_rules import asking_faults, due_faults, taker_faults
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, instances_pb2, run_events_pb2, runs_pb2
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent

_CONTENTS: Final = {
    "rendered_arguments": "json",
    "node_output": "json",
    "fact_content": "json",
    "map_items": "json",
    "wait_subject": "canonical_json",
}
"""Kinds of events with what another one has the digest of, and the field that holds it."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a log breaks. `sequence` is the event's, or 0 where it is about none."""

    rule: Rule
    run_id: str
    sequence: int
    message: str


@dataclass(frozen=True, slots=True)
class Begun:
    """A guarded attempt that began, with the key its target was given."""

    where: Instance
    key: str
    sequence: int


class LogChecker:
    """Takes one run's events in order. `violations` grows; an event that cannot be folded at all is the last one checked."""

    def __init__(self, run_id: str, plan: WalkPlan, plan_digest: bytes) -> None:
        self.run_id: Final = run_id
        self.violations: Final[list[Violation]] = []
        self.head: Final = RunHead()
        self.walk: Final = Walk(plan)
        self.appended: Final[dict[tuple[str, int], int]] = {}
        """Sequence of each holder's event, by lease and ordinal."""
        self.begun: Final[dict[Instance, Begun]] = {}
        """Guarded attempts that began, in order."""
        self.done: Final[set[Instance]] = set()
        """Attempts that succeeded by their own work."""
        self.children: Final[dict[str, fact_events_pb2.ChildStarted]] = {}
        """Child runs that it has started, by id."""
        self.told: Final[list[fact_events_pb2.ChildEnded]] = []
        """Ends of children that were recorded for it."""
        self.heeded: Final[list[fact_events_pb2.ChildEnded]] = []
        """Those of them that something followed from: one that came before an end of its own is void."""
        self.ends: Final[dict[int, run_events_pb2.RunEnded]] = {}
        """Its own ends, by sequence."""
        self.created: run_events_pb2.RunCreated | None = None
        """Its first event."""
        self._plan_digest = plan_digest
        self._settled: set[Instance] = set()
        self._contents: dict[tuple[str, Instance], bytes] = {}
        self._voided: set[int] = set()
        """Facts that became void since the lease was granted, which its holder may not know yet."""
        self._times: dict[Instance, Patience] = {}
        """How far the time of each wait that was opened is."""
        self._taken = 0
        self._broken = False

    def take(self, recorded: RecordedEvent) -> None:
        """Checks the next event and folds it."""
        if self._broken:
            return
        self._taken += 1
        if recorded.run_id != self.run_id or recorded.sequence != self._taken:
            self._break(Rule.SEQUENCE, f"{recorded.run_id}@{recorded.sequence} stands at position {self._taken}")
            return
        try:
            self._check(recorded)
            self._fold(recorded)
        except IllegalEvent as illegal:
            self._break(Rule.TRANSITION, str(illegal))
        except (LookupError, ValueError, TypeError, AttributeError, StopIteration) as unknown:
            self._break(Rule.PLAN, f"it names what neither the plan nor the log before it knows: {unknown!r}")

    def finish(self, row: runs_pb2.Run | None = None) -> None:
        """Checks what the log came to. `row` is the run as the server shows it, at the last event taken."""
        if self._broken:
            return
        if not self._taken:
            self._break(Rule.SEQUENCE, "the log is empty")
            return
        self._violated(rest_faults(self.head, self.walk))
        if row is not None:
            self._violated(row_faults(self.head, row))

    def _check(self, recorded: RecordedEvent) -> None:
        event, kind = recorded.event, recorded.event.WhichOneof("kind") or ""
        self._violated(origin_faults(self.head, recorded, kind))
        self._check_content(event, kind)
        if recorded.WhichOneof("origin") == "holder":
            self._violated(step_faults(self.head, self.walk, self._settled, event, kind))
            if kind == "fact_taken_up":
                self._violated(taking_faults(self.walk, self._voided, event.fact_taken_up.sequence))
                self._violated((Rule.FACT, fault) for fault in taker_faults(self.walk, event.fact_taken_up))
        elif kind == "fact_recorded":
            self._violated(fact_faults(self.walk, event.fact_recorded))
            self._check_time(event.fact_recorded, recorded.stored_time.ToMicroseconds())
            self._note_void(event.fact_recorded)
        elif kind == "lease_granted":
            self._voided.clear()

    def _check_time(self, recorded: fact_events_pb2.FactRecorded, at: int) -> None:
        time = self._times.get(instance(recorded.instance))
        if time is not None:
            faults = (*due_faults(recorded, time, at), *asking_faults(recorded, time))
            self._violated((Rule.FACT, fault) for fault in faults)

    def _note_void(self, recorded: fact_events_pb2.FactRecorded) -> None:
        doubt = self.walk.doubts.get(instance(recorded.instance))
        if doubt is not None and recorded.late_report.reopens_doubt:
            self._voided.add(doubt.resolution_sequence)

    def _fold(self, recorded: RecordedEvent) -> None:
        by_holder = recorded.WhichOneof("origin") == "holder"
        if by_holder:
            self.appended[recorded.holder.lease_id, recorded.holder.ordinal] = recorded.sequence
        advance(self.head, recorded.event, recorded.stored_time.ToMicroseconds(), by_holder=by_holder)
        fold_event(self.walk, recorded.event, recorded.sequence)
        self._note(recorded.event, recorded.event.WhichOneof("kind") or "")
        if recorded.event.HasField("wait_opened"):
            opened = recorded.event.wait_opened
            self._times[instance(opened.instance)] = patience(opened, recorded.stored_time.ToMicroseconds())
        elif recorded.event.HasField("fact_recorded"):
            fact = recorded.event.fact_recorded
            time = self._times.get(instance(fact.instance))
            if time is not None:
                time.note(fact, recorded.stored_time.ToMicroseconds())

    def _note(self, event: RunEvent, kind: str) -> None:
        if kind == "node_started" and event.node_started.effect in GUARDED:
            where = instance(event.node_started.instance)
            key = idempotency_key(self.walk.lineage_id, where.path, self.walk.redos(where.place))
            self.begun[where] = Begun(where, key, self._taken)
        elif kind == "run_created":
            self.created = event.run_created
        elif kind == "run_ended":
            self.ends[self._taken] = event.run_ended
        elif kind == "child_started":
            self.children[event.child_started.run_id] = event.child_started
        elif kind == "fact_recorded" and event.fact_recorded.HasField("child_ended"):
            self.told.append(event.fact_recorded.child_ended)
        elif kind == "fact_taken_up" and (fact := self.walk.facts.get(event.fact_taken_up.sequence)) is not None:
            self.heeded.extend([fact.recorded.child_ended] if fact.recorded.HasField("child_ended") else ())
        elif kind == "node_settled":
            settled = event.node_settled
            self._settled.add(instance(settled.instance))
            if settled.outcome == instances_pb2.OUTCOME_SUCCEEDED and not settled.resolution_sequence:
                self.done.add(instance(settled.instance))

    def _check_content(self, event: RunEvent, kind: str) -> None:
        if kind in _CONTENTS:
            content = getattr(event, kind)
            self._contents[kind, instance(content.instance)] = getattr(content, _CONTENTS[kind])
            return
        match kind:
            case "run_created" if event.run_created.plan_digest != self._plan_digest:
                self._violated([(Rule.DIGEST, "the plan is not the one the run was created with")])
            case "fact_recorded" if event.fact_recorded.WhichOneof("fact") in ("resolution", "child_ended"):
                recorded = event.fact_recorded
                digest = recorded.resolution.output_digest or recorded.child_ended.output_digest
                self._check_digest("fact_content", recorded.instance, digest)
            case "fact_recorded" if event.fact_recorded.WhichOneof("fact") in ("signal", "decision"):
                recorded = event.fact_recorded
                digest = recorded.signal.payload_digest or recorded.decision.content_digest
                self._check_digest("fact_content", recorded.instance, digest)
            case "node_started":
                started = event.node_started
                self._check_digest("rendered_arguments", started.instance, started.arguments_digest)
            case "map_begun":
                begun = event.map_begun
                items = self._contents.get(("map_items", instance(begun.instance)))
                self._violated((Rule.DIGEST, fault) for fault in count_faults(begun, items))
                self._check_digest("map_items", begun.instance, begun.items_digest)
            case "child_started":
                child = event.child_started
                self._check_digest("rendered_arguments", child.instance, child.input_digest)
            case "node_settled":
                settled = event.node_settled
                self._check_digest("node_output", settled.instance, settled.output_digest)
            case "wait_opened":
                opened = event.wait_opened
                self._check_digest("wait_subject", opened.instance, opened.approval.subject_digest)

    def _check_digest(self, kind: str, where: instances_pb2.Instance, digest: bytes) -> None:
        content = self._contents.pop((kind, instance(where)), None)
        if content is not None and digest and hashlib.sha256(content).digest() != digest:
            self._violated([(Rule.DIGEST, f"the {kind} of {instance(where)} is not what its digest says")])

    def _violated(self, faults: Iterable[Fault]) -> None:
        self.violations.extend(Violation(rule, self.run_id, self._taken, message) for rule, message in faults)

    def _break(self, rule: Rule, message: str) -> None:
        self._broken = True
        self._violated([(rule, message)])
