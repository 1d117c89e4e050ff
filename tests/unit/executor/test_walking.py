"""A holder and its run's log: what was decided too early is taken back, and what has happened is told all the same."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from perdure.runlog.checker import LogChecker
from perdure.runlog.head import RunHead, advance
from perdure.runlog.kinds import FACT_KINDS
from perdure.runlog.plans import WalkPlan
from perdure.v1 import execution_pb2, fact_events_pb2, instances_pb2, plans_pb2, run_events_pb2, run_states_pb2
from perdure.v1.execution_pb2 import WorkRequest
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure_control_plane.api.work.incoming import read_batch
from perdure_control_plane.domain.admission import Ack, Behind, Rejected, admit
from perdure_executor import clock
from perdure_executor.calls import Calls
from perdure_executor.event_stream import EventStream
from perdure_executor.lease_keeper import LeaseKeeper, LeaseTerms
from perdure_executor.node_context import Equipment
from perdure_executor.walker import Walker

AT_MOST_ONCE = instances_pb2.EFFECT_AT_MOST_ONCE
SEVEN = Duration(seconds=7)
MAX_BYTES = 1024 * 1024


@dataclass
class Walked:
    """A walker, and a log that takes what it sends when the test says so, by the server's own rules."""

    plan: WalkPlan
    functions: dict[str, Any]
    log: list[RecordedEvent] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    over: bool = False

    def __post_init__(self) -> None:
        self.head = RunHead()
        self.outside(run_created=run_events_pb2.RunCreated(lineage=instances_pb2.Lineage(lineage_id="line")))
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
        )
        self.walker = Walker(self.plan, self.stream, equipment, self.lease, self._over)
        self.walker.begin(list(self.log))

    def _counted(self, name: str, function: Any) -> Any:
        async def call(asked: Any) -> Any:
            self.called.append(name)
            return await function(asked)

        return call

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


@pytest.fixture
def walk(plans: Any) -> Any:
    """Walks a line of function nodes, each given as its name, its fields and its function."""

    def begin(*nodes: tuple[str, dict[str, Any], Any]) -> Walked:
        line = [plans.node(name, function=plans_pb2.FunctionNode(function=name), **fields) for name, fields, _ in nodes]
        return Walked(plans.line(*line), {name: function for name, _, function in nodes})

    return begin


async def test_a_walk_that_nobody_disturbs_ends_and_gives_the_run_up(walk: Any) -> None:
    walked = walk(("a", {}, done), ("b", {"effect": AT_MOST_ONCE}, done))

    await walked.settle()

    assert walked.called == ["a", "b"]
    assert walked.kinds() == ["node_started", "node_settled", "node_started", "node_settled", "run_ended"]
    assert walked.over
    assert walked.violations() == []


@pytest.mark.parametrize("effect", [instances_pb2.EFFECT_NONE, AT_MOST_ONCE])
@pytest.mark.parametrize(("told", "end"), [(INTERRUPT, "run_ended"), (HOLD, "run_paused")], ids=["stop", "hold"])
async def test_a_start_that_met_a_stop_or_a_hold_is_taken_back_and_its_work_never_begins(
    walk: Any, told: dict[str, Any], end: str, effect: Any
) -> None:
    walked = walk(("a", {"effect": effect}, done))
    walked.outside(**told)

    answers = await walked.settle()

    assert answers[0] == "Behind"
    assert walked.called == []
    assert walked.kinds()[1:] == [end]
    assert walked.over
    assert walked.violations() == []


async def test_work_that_ran_ahead_of_a_hold_is_told_and_the_next_node_waits(walk: Any) -> None:
    walked = walk(("a", {}, done), ("b", {"effect": AT_MOST_ONCE}, done))
    await until(lambda: walked.called)
    walked.outside(**HOLD)

    await walked.settle()

    assert walked.called == ["a"]
    assert walked.kinds() == ["fact_recorded", "node_started", "node_settled", "run_paused"]
    assert walked.log[3].event.node_started.ran_ahead
    assert walked.violations() == []


async def test_a_hold_that_is_gone_before_the_holder_heard_of_it_keeps_nothing_back(walk: Any) -> None:
    walked = walk(("a", {"effect": AT_MOST_ONCE}, done))
    walked.outside(**HOLD)
    walked.outside(**RELEASE)

    await walked.settle()

    assert walked.called == ["a"]
    assert walked.kinds()[-1] == "run_ended"
    assert walked.violations() == []


async def test_an_end_that_was_decided_before_a_stop_came_is_decided_again(walk: Any) -> None:
    walked = walk(("a", {}, done))
    await until(lambda: walked.stream.synchronising)  # the end is decided, and not sent yet
    walked.outside(**INTERRUPT)

    answers = await walked.settle()

    assert "Behind" in answers
    ended = walked.log[-1].event.run_ended
    assert (ended.state, ended.stop_too_late) == (run_states_pb2.RUN_STATE_COMPLETED, True)
    assert walked.violations() == []


async def test_a_retry_whose_delay_is_over_under_a_hold_begins_when_the_hold_is_gone(
    walk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[Any] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda delay, call, *arguments: timers.append((delay, call, arguments)))
    walked = walk(("a", {"iteration_cap": 2, "backoff": plans_pb2.Backoff(initial=SEVEN, maximum=SEVEN)}, raises))
    await walked.settle()
    ((delay, over, arguments),) = timers
    walked.outside(**HOLD)
    walked.deliver()

    over(*arguments)
    before = list(walked.called)
    walked.outside(**RELEASE)
    walked.deliver()
    await walked.settle()

    assert delay == 7
    assert (before, walked.called) == (["a"], ["a", "a"])
    assert walked.violations() == []


async def test_a_holder_that_leaves_lets_work_end_and_gives_the_run_back(walk: Any) -> None:
    release = asyncio.Event()

    async def waits(call: Any) -> None:
        await release.wait()

    walked = walk(("a", {}, waits), ("b", {}, done))
    await walked.settle()

    walked.walker.drain()
    await walked.settle()
    early = walked.over
    release.set()
    await walked.settle()

    assert not early
    assert (walked.called, walked.kinds()) == (["a"], ["node_started", "node_settled", "lease_returned"])
    assert walked.over
    assert walked.violations() == []


async def test_what_ended_while_the_lease_was_lost_is_reported_where_it_was_guarded(walk: Any) -> None:
    release = asyncio.Event()

    async def waits(call: Any) -> None:
        try:
            await release.wait()
        except asyncio.CancelledError:
            return  # it was too late to stop it

    walked = walk(("a", {"effect": AT_MOST_ONCE}, waits))
    await walked.settle()

    walked.outside(lease_revoked=LAPSED)
    walked.walker.drain()
    walked.walker.stop_runs()
    answers = await walked.settle()

    assert answers == ["Rejected"]
    (report,) = walked.walker.late_reports()
    assert report.report.outcome == instances_pb2.OUTCOME_SUCCEEDED
    assert walked.kinds() == ["node_started", "lease_revoked"]
    assert walked.over


async def test_a_fault_of_ours_ends_the_work_of_its_run_and_no_other(
    walk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(context: Any) -> Any:
        raise AssertionError("this cannot be")

    release = asyncio.Event()

    async def waits(call: Any) -> None:
        await release.wait()

    other, walked = walk(("a", {}, waits)), walk(("a", {}, waits), ("b", {}, done))
    await walked.settle()
    await other.settle()
    monkeypatch.setattr("perdure_executor.walker.prepare", broken)
    release.set()

    await walked.settle()
    await other.settle()

    assert (walked.called, walked.over) == (["a"], True)
    assert other.kinds()[-1] == "run_ended"


async def test_a_run_that_cannot_be_begun_is_let_go_of(walk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(context: Any) -> Any:
        raise AssertionError("this cannot be")

    monkeypatch.setattr("perdure_executor.walker.prepare", broken)

    walked = walk(("a", {}, done))

    assert walked.over


async def test_a_run_that_was_lost_is_let_go_of_though_its_last_work_cannot_be_told(
    walk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise AssertionError("this cannot be")

    async def waits(call: Any) -> None:
        await asyncio.Event().wait()

    walked = walk(("a", {}, waits))
    await walked.settle()
    monkeypatch.setattr("perdure_executor.walker.stopped", broken)

    walked.walker.fence()
    await walked.settle()

    assert walked.over
