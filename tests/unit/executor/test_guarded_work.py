"""Work that may not be repeated begins only when its start is stored and enough of the lease is left."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from perdure.runlog.instances import Instance, Step
from perdure.runlog.intents import Start
from perdure.v1 import instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor import clock
from perdure_executor.event_stream import EventStream, Fenced
from perdure_executor.lease_keeper import LeaseKeeper, LeaseTerms
from perdure_executor.node_context import Work
from perdure_executor.node_run import NodeRun
from perdure_executor.results import Result, Succeeded

GUARDED = instances_pb2.EFFECT_AT_MOST_ONCE
LEASE_SECONDS = 100.0


@dataclass
class Host:
    """A run with one attempt, and what is said of it."""

    effect: instances_pb2.Effect.ValueType
    plans: Any
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    fault: Exception | None = None
    keeps: RunEvent | None = None
    """What its work has to have stored before it ends."""
    settled: Any = None

    def __post_init__(self) -> None:
        self.stream = EventStream("run", "lease", 0, lambda stream: None)
        self.lease = LeaseKeeper()

    def hold_lease_for(self, seconds: float) -> None:
        """Holds a lease of which so much is left."""
        terms = LeaseTerms(LEASE_SECONDS, heartbeat_interval=10.0, stall_allowance=10.0)
        self.lease.welcome(terms, clock.seconds() - LEASE_SECONDS + seconds)

    def start(self) -> NodeRun:
        """Appends the start, and makes the attempt."""
        where = Instance((Step("publish", 1),), 1)
        started = node_events_pb2.NodeStarted(instance=where.message(), effect=self.effect)
        ordinal = self.stream.append(RunEvent(node_started=started), keep=False)
        node = self.plans.node("publish", effect=self.effect)
        return NodeRun(self, Start(node, where, 0, 0.0), Work(self._work), ordinal)

    async def _work(self, reporter: Any) -> Result:
        self.begun.set()
        if self.fault is not None:
            raise self.fault
        if self.keeps is not None:
            await reporter.keep(self.keeps)
        return Succeeded()

    def happened(self, event: RunEvent) -> int:
        return self.stream.append(event, keep=True)

    def finished(self, run: NodeRun, settled: Any) -> None:
        self.settled = settled
        self.ended.set()


@pytest.fixture
def host(plans: Any) -> Any:
    return lambda effect=GUARDED: Host(effect, plans)


async def everything_that_can_happen() -> None:
    """Lets every task run until it waits for something from outside."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_it_does_not_begin_before_its_start_is_stored(host: Any) -> None:
    run = host()
    run.hold_lease_for(LEASE_SECONDS)
    run.start()
    await everything_that_can_happen()
    too_early = run.begun.is_set()

    run.stream.acknowledge(1)

    await run.begun.wait()
    assert not too_early


async def test_work_that_may_be_repeated_runs_ahead(host: Any) -> None:
    run = host(instances_pb2.EFFECT_NONE)
    run.hold_lease_for(LEASE_SECONDS)

    run.start()

    await run.begun.wait()
    assert run.stream.acknowledged == 0


async def test_work_that_is_stopped_in_the_moment_it_is_decided_says_so(host: Any) -> None:
    run = host(instances_pb2.EFFECT_NONE)
    attempt = run.start()

    attempt.stop()

    await run.ended.wait()
    assert not run.begun.is_set()


async def test_work_that_may_be_repeated_does_not_begin_after_the_lease_either(host: Any) -> None:
    run = host(instances_pb2.EFFECT_NONE)
    run.hold_lease_for(-1.0)
    run.start()
    await everything_that_can_happen()
    too_late = run.begun.is_set()

    run.hold_lease_for(0.05 * LEASE_SECONDS)

    await run.begun.wait()
    assert not too_late


@pytest.mark.parametrize("left", [-5.0, 0.05 * LEASE_SECONDS])
async def test_it_does_not_begin_while_too_little_of_the_lease_is_left(host: Any, left: float) -> None:
    run = host()
    run.hold_lease_for(left)
    run.start()
    run.stream.acknowledge(1)
    await everything_that_can_happen()
    too_early = run.begun.is_set()

    run.hold_lease_for(LEASE_SECONDS)

    await run.begun.wait()
    assert not too_early


@pytest.mark.parametrize("at_once", [True, False])
async def test_it_never_begins_when_its_lease_is_lost_before_the_start_is_stored(host: Any, at_once: bool) -> None:
    run = host()
    run.hold_lease_for(LEASE_SECONDS)
    attempt = run.start()
    if not at_once:
        await everything_that_can_happen()

    run.stream.fail_waiting(Fenced())

    await run.ended.wait()
    assert not run.begun.is_set()
    assert not attempt.begun


@pytest.mark.parametrize("first", ["stop", "acknowledgement"])
async def test_it_never_begins_when_it_is_stopped_before_it_could(host: Any, first: str) -> None:
    run = host()
    run.hold_lease_for(LEASE_SECONDS)
    attempt = run.start()

    # Both may come in one message, so that nothing happens between them.
    if first == "stop":
        attempt.stop()
    run.stream.acknowledge(1)
    attempt.stop()

    await run.ended.wait()
    assert not run.begun.is_set()


async def test_a_fault_of_ours_is_told_by_its_type_alone(host: Any) -> None:
    run = host()
    run.fault = KeyError("a password")
    run.hold_lease_for(LEASE_SECONDS)
    run.start()
    run.stream.acknowledge(1)

    await run.ended.wait()

    assert run.settled.cause == instances_pb2.FAILURE_CAUSE_INTERNAL
    assert run.settled.message == "KeyError in the executor, whose log has the rest"


async def test_work_waits_on_for_what_is_said_again_after_another_branch_had_begun_too_early(host: Any) -> None:
    run = host(instances_pb2.EFFECT_NONE)
    run.hold_lease_for(50.0)
    run.keeps = RunEvent(unit_content=node_events_pb2.UnitContent(unit="model#0"))
    run.start()
    await everything_that_can_happen()

    for dropped in run.stream.drop_from(1):
        run.stream.append(dropped.event, keep=True)
    await everything_that_can_happen()
    early = run.settled
    run.stream.acknowledge(2)
    await run.ended.wait()

    assert early is None
    assert run.settled == Succeeded()
