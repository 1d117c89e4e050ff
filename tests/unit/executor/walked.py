"""A walker, and a log that takes what it sends when a test says so, by the server's own rules."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from perdure.encryption.codec import Codec
from perdure.runlog.checker import LogChecker
from perdure.runlog.head import RunHead, advance
from perdure.runlog.kinds import FACT_KINDS
from perdure.runlog.plans import WalkPlan
from perdure.v1 import execution_pb2, fact_events_pb2, instances_pb2, run_events_pb2
from perdure.v1.execution_pb2 import WorkRequest
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure_control_plane.api.work.incoming import read_batch
from perdure_control_plane.domain.admission import Ack, Behind, Rejected, admit
from perdure_executor import clock
from perdure_executor.calls import Calls
from perdure_executor.event_stream import EventStream
from perdure_executor.lease_keeper import LeaseKeeper, LeaseTerms
from perdure_executor.node_context import Equipment
from perdure_executor.secret_sources import SecretSources
from perdure_executor.walker import Walker

MAX_BYTES = 1024 * 1024


@dataclass
class Walked:
    """A walker, and a log that takes what it sends when the test says so, by the server's own rules."""

    plan: WalkPlan
    functions: dict[str, Any]
    secrets: SecretSources = field(default_factory=SecretSources)
    codec: Codec = field(default_factory=Codec)
    given: bytes = b""
    """What the run was given, where it was given anything."""
    log: list[RecordedEvent] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    over: bool = False

    def __post_init__(self) -> None:
        self.head = RunHead()
        self.outside(run_created=run_events_pb2.RunCreated(lineage=instances_pb2.Lineage(lineage_id="line")))
        if self.given:
            self.outside(run_input=run_events_pb2.RunInput(json=self.given))
        granted = run_events_pb2.LeaseGranted(lease_id="lease", epoch=1, executor_id="x", incarnation="x")
        self.outside(lease_granted=granted)
        self.lease = LeaseKeeper()
        self.lease.welcome(LeaseTerms(100.0, 10.0, 10.0), clock.seconds())
        self.stream = EventStream("run", "lease", 0, lambda stream: None)
        equipment: Any = Equipment(
            supervisor=None,  # type: ignore[arg-type]  # nothing here is a command
            functions={name: self._counted(name, function) for name, function in self.functions.items()},
            calls=Calls(1),
            workspace="",
            environment={},
            max_payload_bytes=MAX_BYTES,
            max_task_output_bytes=MAX_BYTES,
            kill_grace=0.0,
            providers={},
            secrets=self.secrets,
            codec=self.codec,
        )
        self.walker = Walker(self.plan, self.stream, equipment, self.lease, self._over)
        self.walker.begin(b"", list(self.log))

    def _counted(self, name: str, function: Any) -> Any:
        async def call(asked: Any) -> Any:
            self.called.append(name)
            return await function(asked)

        def call_plain(asked: Any) -> Any:
            self.called.append(name)
            return function(asked)

        is_plain = inspect.isfunction(function) and not inspect.iscoroutinefunction(function)
        return call_plain if is_plain else call

    def _over(self, walker: Walker) -> None:
        self.over = True

    def _keep(self, event: RunEvent, ordinal: int = 0) -> None:
        recorded = RecordedEvent(run_id="run", sequence=len(self.log) + 1, event=event)
        if ordinal:
            recorded.holder.lease_id, recorded.holder.epoch, recorded.holder.ordinal = "lease", 1, ordinal
        else:
            recorded.outside.SetInParent()
        self.log.append(recorded)

    def outside(self, **kind: Any) -> None:
        """An event comes from outside; the holder is not told."""
        event = RunEvent(**kind)
        advance(self.head, event, 0, by_holder=False)
        self._keep(event)

    def deliver(self) -> None:
        """The holder is told of the last event."""
        self.walker.facts_came(self.log[-1:])

    def commit(self) -> list[str]:
        """The server takes the next batch, stores what it may, and answers. Returns the kind of each answer."""
        request = WorkRequest()
        self.stream.put_batch(request)
        return [self._answer(message) for message in request.batches]

    def _answer(self, message: execution_pb2.EventBatch) -> str:
        batch = read_batch(message, MAX_BYTES)
        first = self.head.next_ordinal
        verdict, stored = admit(self.head, batch, 0)
        for ordinal, incoming in enumerate(stored, first):
            self._keep(RunEvent.FromString(incoming.stored), ordinal)
        answer = execution_pb2.Answer(run_id="run", lease_id="lease", tail=batch.tail)
        match verdict:
            case Ack():
                answer.ack.ordinal, answer.ack.sequence = verdict.ordinal, verdict.sequence
            case Behind():
                answer.behind.from_ordinal = verdict.from_ordinal
                answer.behind.facts.extend(
                    recorded
                    for recorded in self.log
                    if recorded.sequence > batch.seen and recorded.event.WhichOneof("kind") in FACT_KINDS
                )
            case Rejected():
                answer.rejected.SetInParent()
            case _:
                pytest.fail(f"the server answers {verdict}")
        self.walker.answered(answer)
        return type(verdict).__name__

    async def settle(self) -> list[str]:
        """Commits, and lets work go on, until the walker has nothing to say and nothing to do but wait."""
        answers: list[str] = []
        idle = 0
        while idle < 20:
            said = self.commit()
            answers += said
            idle = 0 if said else idle + 1
            await asyncio.sleep(0)
        return answers

    async def to_its_end(self) -> None:
        """Commits until the run is given up, however long its work takes."""
        while not self.over:
            self.commit()
            await asyncio.sleep(0)

    def kinds(self) -> list[str]:
        """Kinds of the log's events after the grant of the lease."""
        return [recorded.event.WhichOneof("kind") or "" for recorded in self.log[2:]]

    def violations(self) -> list[Any]:
        """What the checker finds in the log."""
        checker = LogChecker("run", self.plan, b"")
        for recorded in self.log:
            checker.take(recorded)
        checker.finish()
        return checker.violations


async def done(call: Any) -> None:
    """A function that is soon done."""


async def raises(call: Any) -> None:
    """A function that fails."""
    raise ValueError("no")


async def until(what: Callable[[], object]) -> None:
    """Lets work go on until something is so. Nothing is committed meanwhile."""
    while not what():  # noqa: ASYNC110  # nobody sets an event for it
        await asyncio.sleep(0)


def fact(**fact: Any) -> dict[str, Any]:
    return {"fact_recorded": fact_events_pb2.FactRecorded(**fact)}


LAPSED = run_events_pb2.LeaseRevoked(lease_id="lease", epoch=2, cause=run_events_pb2.REVOCATION_CAUSE_LAPSED)
INTERRUPT = {"stop_requested": run_events_pb2.StopRequested(kind=run_events_pb2.STOP_KIND_INTERRUPT)}
HOLD = fact(hold_placed=fact_events_pb2.HoldPlaced(cause=fact_events_pb2.HOLD_CAUSE_OPERATOR))
RELEASE = fact(hold_released=fact_events_pb2.HoldReleased(cause=fact_events_pb2.HOLD_CAUSE_OPERATOR))
