"""A rehearsal: a run walked in memory, with a head and a log, by whoever plays the executor."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.effects import GUARDED
from perdure.runlog.folding import fold_event
from perdure.runlog.head import RunHead, advance
from perdure.runlog.inbox import due_at
from perdure.runlog.instances import Instance, Step, instance
from perdure.runlog.intents import Choose, Record, Start, StopWork
from perdure.runlog.interpreter import decide
from perdure.runlog.plans import MAX_ITEMS, WalkPlan, starts_a_run
from perdure.runlog.shards import own_piece
from perdure.runlog.starting import child_start
from perdure.runlog.states import RunState
from perdure.runlog.walk import Walk
from perdure.v1 import (
    approval_facts_pb2,
    decisions_pb2,
    fact_events_pb2,
    instances_pb2,
    node_events_pb2,
    run_events_pb2,
)
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent

Outcome = instances_pb2.Outcome.ValueType
Cause = instances_pb2.FailureCause.ValueType
Played = tuple[Outcome, Cause, bytes]

OK: Played = (instances_pb2.OUTCOME_SUCCEEDED, instances_pb2.FAILURE_CAUSE_UNSPECIFIED, b"")


@dataclass
class Rehearsal:
    """One run: its log so far, folded both ways."""

    plan: WalkPlan
    outcomes: dict[str, list[Played]] = field(default_factory=dict)
    log: list[tuple[RunEvent, bool]] = field(default_factory=list)
    recorded: list[RecordedEvent] = field(default_factory=list)
    """The same log, as it would be stored."""
    running: list[Start] = field(default_factory=list)
    choices: dict[str, list[str | None]] = field(default_factory=dict)
    """The nodes that each goes on with, in turn, where its steps are guarded; then the first of them."""
    clock: int = 0
    """When what is appended is stored, in microseconds."""
    decided: list[RunEvent] = field(default_factory=list)
    """What `step` has yet to append of what was decided."""
    prefix: tuple[Step, ...] = ()
    """Path of the attempt that started it, where another run did."""
    started: list[str] = field(default_factory=list)
    """Text of every attempt that was begun, in order."""
    items: int = 3
    """Items that every map is over."""
    part: run_events_pb2.RunPart | None = None
    """What it does of its parent, where it is a part run."""

    def __post_init__(self) -> None:
        self.chooses: Callable[[Instance], str | None] = self._as_played
        self.head = RunHead()
        self.walk = Walk(self.plan)

    def outside(self, **kind: Any) -> int:
        """Appends an event from outside and returns its sequence."""
        return self.append(RunEvent(**kind), by_holder=False)

    def fact(self, where: Instance | None = None, **fact: Any) -> int:
        """Records a fact."""
        address = {"instance": where.message()} if where is not None else {}
        return self.outside(fact_recorded=fact_events_pb2.FactRecorded(**address, **fact))

    def signal(self, name: str, payload: bytes = b"{}") -> int:
        """Sends a signal; what is kept of it as the control plane would."""
        awaited = self.walk.waiting_for(name) is not None
        self.outside(fact_content=fact_events_pb2.FactContent(json=payload))
        digest = hashlib.sha256(payload).digest()
        return self.fact(signal=fact_events_pb2.Signal(name=name, payload_digest=digest, awaited=awaited))

    def create(self) -> "Rehearsal":
        """Creates the run and leases it."""
        prefix = [instances_pb2.PathStep(node=step.node, visit=step.visit) for step in self.prefix]
        lineage = instances_pb2.Lineage(lineage_id="line", prefix=prefix, prefix_redos=[0] * len(prefix))
        self.outside(run_created=run_events_pb2.RunCreated(lineage=lineage, part=self.part))
        return self.lease()

    def lease(self) -> "Rehearsal":
        """Grants a lease."""
        epoch = self.head.epoch + 1
        grant = run_events_pb2.LeaseGranted(lease_id=f"lease-{epoch}", epoch=epoch, executor_id="x", incarnation="x")
        self.outside(lease_granted=grant)
        return self

    def lose(self) -> "Rehearsal":
        """Loses the executor: what it was doing is lost with it."""
        self.running.clear()
        lapsed = run_events_pb2.REVOCATION_CAUSE_LAPSED
        lease, epoch = self.head.lease_id or "", self.head.epoch + 1
        self.outside(lease_revoked=run_events_pb2.LeaseRevoked(lease_id=lease, epoch=epoch, cause=lapsed))
        return self

    def go(self, *, hold_work: bool = False) -> "Rehearsal":
        """Walks until the lease is given back. With `hold_work`, only until there is work under way."""
        while self.head.lease_id is not None:
            if not self._decide() and (hold_work or not self._finish_one()):
                return self
        return self

    def step(self) -> None:
        """Does one thing: leases the run, appends one event, or begins one attempt; nothing where there is nothing."""
        if self.head.lease_id is None:
            if self.state is RunState.QUEUED:
                self.lease()
            return
        if not self.decided:
            for intent in decide(self.walk)[:1]:
                match intent:
                    case Record():
                        self.decided = list(intent.events)
                    case Start():
                        self.begin(intent)
        if self.decided:
            self.append(self.decided.pop(0), by_holder=True)

    def finish(self, played: Played, index: int = 0, *, backoff: float = 0.0) -> "Rehearsal":
        """Ends the work that was begun first, or as which `index` says, as given, with so many seconds of `backoff`."""
        start = self.running.pop(index)
        outcome, cause, output = played
        if outcome == instances_pb2.OUTCOME_FAILED and self.walk.jumps_over(start.node.id):
            outcome = instances_pb2.OUTCOME_JUMPED_OVER
        where = start.instance.message()
        if output:
            self.holder(node_output=node_events_pb2.NodeOutput(instance=where, json=output))
        settled = node_events_pb2.NodeSettled(
            instance=where, effect=start.node.effect, outcome=outcome, cause=cause, message="as played"
        )
        if backoff:
            settled.retry_delay.FromMicroseconds(round(backoff * 1e6))
        self.holder(node_settled=settled)
        return self

    def holder(self, **kind: Any) -> None:
        """Appends an event of the holder."""
        self.append(RunEvent(**kind), by_holder=True)

    def pass_backoff(self, where: Instance) -> None:
        """Lets the back-off after an attempt go by."""
        opened = next(one for one in reversed(self.recorded) if instance(one.event.wait_opened.instance) == where)
        fired = fact_events_pb2.TimerFired()
        fired.due_time.FromMicroseconds(due_at(opened.event.wait_opened, opened.stored_time.ToMicroseconds()))
        self.fact(where, timer_fired=fired)

    def kinds(self) -> list[str]:
        """Kinds of the log's events, in order."""
        return [event.WhichOneof("kind") or "" for event, _ in self.log]

    @property
    def state(self) -> RunState:
        return self.head.state

    @property
    def ended(self) -> run_events_pb2.RunEnded:
        return self.log[-1][0].run_ended

    def _decide(self) -> bool:
        acted = False
        for intent in decide(self.walk):
            match intent:
                case Record():
                    for event in intent.events:
                        self.append(event, by_holder=True)
                    return True
                case Start():
                    acted = self.begin(intent) or acted
                case StopWork():
                    acted = self._stop(intent) or acted
                case Choose():
                    self.choose(intent.instance)
                    return True
        return acted

    def choose(self, where: Instance) -> None:
        """Makes a choice. None is one that cannot be made."""
        target = self.chooses(where)
        unclear = instances_pb2.FAILURE_CAUSE_CHOICE_UNCLEAR if target is None else None
        self.holder(choice_made=node_events_pb2.ChoiceMade(instance=where.message(), target=target, cause=unclear))

    def _as_played(self, where: Instance) -> str | None:
        played = self.choices.get(where.node)
        return played.pop(0) if played else self.plan.choices[where.node][0].target

    def begin(self, start: Start) -> bool:
        """Begins an attempt."""
        self.started.append(str(start.instance))
        if start.node.WhichOneof("kind") == "approval":
            allowed = [decisions_pb2.DECISION_KIND_APPROVED, decisions_pb2.DECISION_KIND_REJECTED]
            asked = approval_facts_pb2.ApprovalWait(approval_id=str(start.instance), allowed=allowed)
            opened = fact_events_pb2.WaitOpened(instance=start.instance.message(), approval=asked)
            self.holder(wait_opened=opened)
            return True
        if start.node.WhichOneof("kind") == "wait":
            opened = fact_events_pb2.WaitOpened(instance=start.instance.message())
            if start.node.wait.signal:
                opened.signal.name = start.node.wait.signal
            else:
                opened.timer.SetInParent()
            self.holder(wait_opened=opened)
            return True
        if starts_a_run(start.node):
            self.holder(child_started=child_start(self.walk, "run", start, b""))
            return True
        if start.node.HasField("map"):
            piece = own_piece(self.walk)
            items = list(range(self.items)) if piece is None else piece.items
            listed = json.dumps(items).encode()
            begun = node_events_pb2.MapBegun(instance=start.instance.message(), count=len(items))
            begun.items_digest = hashlib.sha256(listed).digest()
            if piece is not None:
                begun.first_item = piece.first
                begun.done.extend(piece.done)
                begun.redos.extend(piece.redos)
            elif len(items) > MAX_ITEMS:
                begun.shard_size = MAX_ITEMS
            self.holder(map_items=node_events_pb2.MapItems(instance=begun.instance, json=listed))
            self.holder(map_begun=begun)
            return True
        started = node_events_pb2.NodeStarted(
            instance=start.instance.message(),
            effect=start.node.effect,
            redo=start.redo,
            resolution_sequence=start.resolution_sequence,
        )
        self.holder(node_started=started)
        self.running.append(start)
        return True

    def _stop(self, stop: StopWork) -> bool:
        stopped = [start for start in self.running if start.instance in stop.instances]
        for start in stopped:
            self.running.remove(start)
            where = start.instance.message()
            cause = instances_pb2.FAILURE_CAUSE_STOPPED
            if start.node.effect in GUARDED:
                self.holder(node_in_doubt=node_events_pb2.NodeInDoubt(instance=where, cause=cause))
            else:
                settled = node_events_pb2.NodeSettled(
                    instance=where, effect=start.node.effect, outcome=instances_pb2.OUTCOME_STOPPED, cause=cause
                )
                self.holder(node_settled=settled)
        return bool(stopped)

    def _finish_one(self) -> bool:
        if not self.running:
            return False
        queue = self.outcomes.get(self.running[0].node.id, [])
        self.finish(queue.pop(0) if queue else OK)
        return True

    def append(self, event: RunEvent, *, by_holder: bool) -> int:
        recorded = RecordedEvent(run_id="run", sequence=self.head.last_sequence + 1, event=event)
        if by_holder:
            recorded.holder.lease_id = self.head.lease_id or ""
            recorded.holder.epoch, recorded.holder.ordinal = self.head.epoch, self.head.next_ordinal
        else:
            recorded.outside.SetInParent()
        self.clock = max(self.clock, event.fact_recorded.timer_fired.due_time.ToMicroseconds())
        recorded.stored_time.FromMicroseconds(self.clock)
        advance(self.head, event, self.clock, by_holder=by_holder)
        fold_event(self.walk, event, self.head.last_sequence)
        self.log.append((event, by_holder))
        self.recorded.append(recorded)
        return self.head.last_sequence

    def checked(self) -> LogChecker:
        """The checker, after the log so far."""
        checker = LogChecker("run", self.plan, b"")
        for recorded in self.recorded:
            checker.take(recorded)
        checker.finish()
        return checker

    def violations(self) -> list[Violation]:
        """What the checker has to say of the log so far."""
        return self.checked().violations


@pytest.fixture
def rehearse() -> Iterator[Callable[..., Rehearsal]]:
    """Begins a rehearsal of a plan; each node's outcomes are played in turn, and then it succeeds.

    What was rehearsed is checked at the end of the test.
    """
    begun: list[Rehearsal] = []

    def begin(
        plan: WalkPlan, *prefix: Step, part: run_events_pb2.RunPart | None = None, **outcomes: list[Played]
    ) -> Rehearsal:
        begun.append(Rehearsal(plan, outcomes, prefix=prefix, part=part).create())
        return begun[-1]

    yield begin
    assert [violation for rehearsal in begun for violation in rehearsal.violations()] == []


@pytest.fixture
def failed() -> Played:
    """How a node fails that raised."""
    return (instances_pb2.OUTCOME_FAILED, instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED, b"")
