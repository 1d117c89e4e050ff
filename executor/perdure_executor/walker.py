"""Walks one run: asks the interpreter what comes next, does it, and says what happened.

What it decides is folded at once and sent. What the server then does not take (`Behind`) is taken back: decisions are
dropped and made again, and what has really happened is sent again, ahead of them.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final

import structlog

from perdure.runlog.effects import GUARDED, idempotency_key
from perdure.runlog.instances import Instance
from perdure.runlog.intents import Choose, Intent, Record, Start, StopWork
from perdure.runlog.interpreter import decide
from perdure.runlog.kinds import RELEASING_KINDS
from perdure.runlog.plans import WalkPlan
from perdure.runlog.starting import child_start
from perdure.runlog.ways import contracts_before
from perdure.v1 import execution_pb2, instances_pb2, node_events_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure_executor.choices import choice
from perdure_executor.event_stream import EventStream
from perdure_executor.faults import alone
from perdure_executor.frozen_subjects import voided
from perdure_executor.late_reports import late_reports
from perdure_executor.lease_keeper import LeaseKeeper
from perdure_executor.node_context import Ask, Equipment, Mapped, NodeContext, Spawn
from perdure_executor.node_run import NodeRun
from perdure_executor.readiness import made_ready
from perdure_executor.results import Failed, Result, Stopped, TimedOut
from perdure_executor.sealing import seen
from perdure_executor.settlements import bounded, jumped_over, settlement, stopped
from perdure_executor.starts import mapping, started, waiting
from perdure_executor.story import Story, place, worth_keeping

log = structlog.get_logger(__name__)

CHILD_REFUSED: Final = instances_pb2.FAILURE_CAUSE_CHILD_REFUSED


class Walker:
    """One run under one lease."""

    def __init__(
        self,
        plan: WalkPlan,
        stream: EventStream,
        equipment: Equipment,
        lease: LeaseKeeper,
        over: Callable[["Walker"], None],
    ) -> None:
        """`over` is called once, when the run is no longer held here and nothing of it runs."""
        self.stream: Final = stream
        self.lease: Final = lease
        self._equipment = equipment
        self._over = over
        self._story = Story(plan, stream)
        self._log = log.bind(run=stream.run_id, lease=stream.lease_id)
        self._runs: dict[Instance, NodeRun] = {}
        self._delays: dict[Instance, asyncio.TimerHandle] = {}
        self._delayed: set[Instance] = set()
        """Attempts whose delay is over; they begin when they are decided again."""
        self._refused_children: dict[Instance, str] = {}
        """Children that the server did not start, and why; their attempts fail when they are decided again."""
        self._draining = False
        self._released = False
        self._fenced = False

    @property
    def idle(self) -> bool:
        """Whether nothing of it runs."""
        return not self._runs

    def equip(self, equipment: Equipment) -> None:
        """What there is to work with from now on; a server may come back with another limit."""
        self._equipment = equipment

    @alone
    def begin(self, snapshot: bytes, history: list[RecordedEvent]) -> None:
        """Folds the run's log, or what is after a snapshot of it, and begins to walk."""
        self._story.begin(snapshot, history)
        self._step()

    @alone
    def facts_came(self, facts: list[RecordedEvent]) -> None:
        """Folds facts that were delivered; those folded before are passed over."""
        self._story.take_in(facts)
        self._step()

    @alone
    def answered(self, answer: execution_pb2.Answer) -> None:
        """Takes in the answer to a batch."""
        kind = answer.WhichOneof("answer")
        if self._fenced and kind != "ack":
            return  # what is stored need not be reported; nothing else that is said of it matters any more
        match kind:
            case "ack":
                self._acknowledged(answer.ack)
            case "resend":
                self.stream.send_again(answer.resend.from_ordinal)
            case "behind":
                self._take_back(answer.behind.from_ordinal, list(answer.behind.facts))
            case "refused":
                self._refused(answer.refused)
            case "rejected":
                self.fence()

    @alone
    def drain(self) -> None:
        """Begins nothing any more, and gives the run back when nothing of it runs."""
        self._draining = True
        self._step()

    def stop_runs(self) -> None:
        """Ends whatever runs."""
        for run in self._runs.values():
            run.stop()

    def fence(self) -> None:
        """The lease is gone: ends the work, and sends nothing any more."""
        if self._released or self._fenced:
            return
        self._fenced = True
        self._cancel_delays()
        self.stop_runs()
        self.stream.silence()
        self._check_over()

    def late_reports(self) -> list[execution_pb2.LateReport]:
        """What became of guarded work that the log does not know of; for a run that was fenced."""
        return late_reports(self.stream)

    def _step(self) -> None:
        while not (self._released or self._fenced or self.stream.awaits_answer):
            intents = decide(self._story.walk)
            if self._draining and any(isinstance(intent, Start) for intent in intents):
                intents = self._leave()
            # What is left after a change is decided again: a node that fails at once may keep another from beginning.
            if not any(self._carry_out(intent) for intent in intents):
                return

    def _carry_out(self, intent: Intent) -> bool:
        """Does what was decided. True where there may be more to decide now; work that was begun decides when it ends."""
        match intent:
            case Record():
                for event in bounded(intent.events, self._story.walk, self._equipment.max_payload_bytes):
                    self._append(event, keep=False)
                return True
            case Start():
                return self._start(intent)
            case Choose():
                made = choice(self._story.walk, intent.instance, self._equipment.codec)
                self._append(RunEvent(choice_made=made), keep=False)
                return True
            case StopWork():
                for where in intent.instances:
                    self._runs[where].stop()
                return False

    def _leave(self) -> list[Intent]:
        self._cancel_delays()
        if self._runs:
            return []
        returned = run_events_pb2.LeaseReturned(cause=run_events_pb2.RETURN_CAUSE_DRAINING)
        return [Record((RunEvent(lease_returned=returned),))]

    def _start(self, start: Start) -> bool:
        where = start.instance
        if where in self._delays or where in self._runs:
            return False
        if start.delay > 0 and where not in self._delayed:
            loop = asyncio.get_running_loop()
            self._delays[where] = loop.call_later(start.delay, self._delay_over, where)
            return False
        self._delayed.discard(where)
        return self._begin_node(start)

    @alone
    def _delay_over(self, where: Instance) -> None:
        del self._delays[where]
        self._delayed.add(where)
        self._step()

    def _cancel_delays(self) -> None:
        for timer in self._delays.values():
            timer.cancel()
        self._delays.clear()

    def _begin_node(self, start: Start) -> bool:
        void = voided(self._story.walk, start, self._equipment)
        if isinstance(void, RunEvent):
            self._append(void, keep=False)
            return True
        refusal = self._refused_children.pop(start.instance, "")
        failed = Failed(CHILD_REFUSED, refusal) if refusal else void
        prepared, arguments = (failed, None) if failed is not None else made_ready(self._context(start))
        digest = b"" if arguments is None else self._say_arguments(start, arguments)
        if isinstance(prepared, Spawn):
            child = child_start(self._story.walk, self.stream.run_id, start, digest)
            self._append(RunEvent(child_started=child), keep=False)
            return True
        if isinstance(prepared, Ask | Mapped):
            for event in waiting(start, prepared) if isinstance(prepared, Ask) else mapping(start, prepared):
                self._append(event, keep=False)
            return True
        ordinal = self._append(started(start, prepared, digest), keep=False)
        if isinstance(prepared, Failed):
            self._settle(start, prepared)
            return True
        self._runs[start.instance] = NodeRun(self, start, prepared, ordinal)
        return self.stream.awaits_answer

    def _context(self, start: Start) -> NodeContext:
        walk, where = self._story.walk, start.instance
        return NodeContext(
            node=start.node,
            instance=where,
            run_id=self.stream.run_id,
            lease_id=self.stream.lease_id,
            key=lambda: idempotency_key(walk.lineage_id, where.path, (*walk.prefix_redos, start.redo)),
            see=lambda: seen(walk, where, self._equipment.codec),
            equipment=self._equipment,
            units=walk.units.get(where, {}),
            steps=() if where.path[-1].item else contracts_before(walk, start.node.id),
            walk=walk,
        )

    def _say_arguments(self, start: Start, encoded: bytes) -> bytes:
        if len(encoded) <= self._equipment.max_payload_bytes:
            rendered = node_events_pb2.RenderedArguments(instance=start.instance.message(), json=encoded)
            self._append(RunEvent(rendered_arguments=rendered), keep=False)
        return hashlib.sha256(encoded).digest()

    def happened(self, event: RunEvent) -> int:
        """Appends an event that tells of something that has happened."""
        return self._append(event, keep=True)

    @alone
    def finished(self, run: NodeRun, settled: list[RunEvent] | Result | None) -> None:
        """An attempt is over."""
        del self._runs[run.start.instance]
        try:
            if isinstance(settled, list):
                for event in settled:
                    self._append(event, keep=True)
            elif settled is not None:
                self._settle(run.start, settled)
            elif self._fenced and run.start.node.effect in GUARDED:
                # The log may have its start. Whoever is asked what became of it waits for a word from here.
                self._append(stopped(run.start, Stopped(begun=run.begun)), keep=True)
        finally:
            self._check_over()
        self._step()

    def _settle(self, start: Start, result: Result) -> None:
        if self._fenced and isinstance(result, Stopped | TimedOut):
            # Nobody waits for a doubt: the log has it already. What is known goes into a report.
            begun = not isinstance(result, Stopped) or result.begun
            self._append(stopped(start, Stopped(result.task, begun)), keep=True)
            return
        walk = self._story.walk
        before = walk.nodes[start.instance.place]
        events = settlement(start, result, before, self._equipment.max_payload_bytes)
        for event in jumped_over(events) if walk.jumps_over(start.node.id) else events:
            self._append(event, keep=True)

    def _append(self, event: RunEvent, *, keep: bool) -> int:
        if self._fenced:
            return self.stream.append(event, keep=keep)  # for the report alone: nothing is decided any more
        return self._story.append(event, keep=keep)

    def _acknowledged(self, ack: execution_pb2.Ack) -> None:
        self._log.debug("events.acknowledged", ordinal=ack.ordinal, sequence=ack.sequence)
        waited = self.stream.awaits_answer
        stored = self.stream.acknowledge(ack.ordinal)
        if stored is not None and stored.kind in RELEASING_KINDS:
            self._released = True
            self._cancel_delays()
            self._check_over()
        elif waited and not self.stream.awaits_answer:
            self._step()

    def _take_back(self, ordinal: int, facts: list[RecordedEvent]) -> None:
        """The server stored nothing from an ordinal on. Decides again, with what has happened in front."""
        dropped = self._story.take_back(ordinal)
        self._story.take_in(facts)
        kept = worth_keeping(dropped, {where for where, run in self._runs.items() if run.begun})
        starts = {place(pending) for pending in dropped if pending.kind == "node_started"}
        for where in starts - {place(pending) for pending in kept}:
            if where in self._runs:
                self._runs[where].drop()
        for pending in kept:
            self._append(pending.event, keep=True)
        self._step()

    def _refused(self, refused: execution_pb2.Refused) -> None:
        if refused.reason == execution_pb2.REFUSAL_REASON_CHILD_REFUSED:
            self._refused_children[self._story.place_of(refused.from_ordinal)] = refused.message
            self._take_back(refused.from_ordinal, [])
            return
        reason = execution_pb2.RefusalReason.Name(refused.reason)
        self._log.error("events.refused", reason=reason, message=refused.message)
        # Only a fault of ours brings this about. Letting go of the run gives it to another executor, or to a person.
        self.fence()

    def _check_over(self) -> None:
        if (self._released or self._fenced) and self.idle:
            self._over(self)
