"""The runs of one process, and what is said of them on one stream after another."""

import asyncio
import hashlib
from typing import Any

import pytest

from perdure.v1 import execution_pb2, instances_pb2, run_events_pb2
from perdure.v1.execution_pb2 import WorkResponse
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure_executor import clock
from perdure_executor.held_runs import HeldRuns
from perdure_executor.lease_keeper import LeaseKeeper, LeaseTerms
from perdure_executor.node_context import Equipment
from perdure_executor.threads import Threads


class Effect:
    """A function that goes on until it is let go, though it is asked to stop."""

    def __init__(self) -> None:
        self.begun, self.release = asyncio.Event(), asyncio.Event()

    async def __call__(self, call: Any) -> None:
        self.begun.set()
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                continue


@pytest.fixture
async def effect() -> Effect:
    return Effect()


@pytest.fixture
def equipment(effect: Effect) -> Any:
    async def work(call: Any) -> None:
        await effect(call)

    nobody: Any = None  # nothing here is a command
    return Equipment(nobody, {"noop": work}, Threads(1), "", {}, 1 << 20, 1 << 20, 0.0, {})


@pytest.fixture
async def held(equipment: Any) -> HeldRuns:
    lease = LeaseKeeper()
    lease.welcome(LeaseTerms(100.0, 10.0, 10.0), clock.seconds())
    runs = HeldRuns(4, lease)
    runs.begin_stream(equipment)
    return runs


@pytest.fixture
async def fenced(held: HeldRuns, effect: Effect, plans: Any) -> HeldRuns:
    """Runs of which one was lost in the middle of an effect that came to its end all the same."""
    plan = plans.line(plans.node("publish", effect=instances_pb2.EFFECT_AT_MOST_ONCE)).message.SerializeToString()
    created = RunEvent(run_created=run_events_pb2.RunCreated(lineage=instances_pb2.Lineage(lineage_id="line")))
    assignment = execution_pb2.Assignment(
        number=1, run_id="run", lease_id="lease", plan=plan, plan_digest=hashlib.sha256(plan).digest(),
        events=[RecordedEvent(run_id="run", sequence=1, event=created)],
    )  # fmt: skip
    held.take_in(WorkResponse(assignments=[assignment]))
    said(held)
    acknowledged = execution_pb2.Answer(run_id="run", lease_id="lease")
    acknowledged.ack.ordinal = 1
    held.take_in(WorkResponse(answers=[acknowledged]))
    await effect.begun.wait()
    rejected = execution_pb2.Answer(run_id="run", lease_id="lease")
    rejected.rejected.SetInParent()
    held.take_in(WorkResponse(answers=[rejected]))
    effect.release.set()
    while held.count:
        held.wake.clear()
        await held.wake.wait()
    return held


def said(held: HeldRuns) -> execution_pb2.WorkRequest:
    """Everything there is to say now, as one message."""
    request = execution_pb2.WorkRequest()
    while (piece := held.next_request()) is not None:
        request.MergeFrom(piece)
    return request


async def test_what_became_of_a_lost_effect_is_said_on_every_stream_until_the_server_has_it(
    fenced: HeldRuns, equipment: Any
) -> None:
    first = list(said(fenced).late_reports)
    fenced.begin_stream(equipment)
    again = list(said(fenced).late_reports)
    fenced.beat()
    with_a_heartbeat = list(said(fenced).late_reports)

    fenced.take_in(WorkResponse(late_report_acks=[first[0].number]))
    fenced.beat()

    assert [(one.run_id, one.report.outcome) for one in first] == [("run", instances_pb2.OUTCOME_SUCCEEDED)]
    assert again == with_a_heartbeat == first
    assert not said(fenced).late_reports


async def test_an_executor_that_leaves_waits_until_its_report_is_taken(fenced: HeldRuns) -> None:
    fenced.drain()
    before = fenced.left
    waiting = asyncio.create_task(fenced.given_up(60.0))
    (report,) = said(fenced).late_reports

    fenced.take_in(WorkResponse(late_report_acks=[report.number]))

    assert not before
    assert await waiting
    assert fenced.left


async def test_an_executor_that_nobody_answers_leaves_without(fenced: HeldRuns) -> None:
    fenced.drain()

    fenced.fence()

    assert await fenced.given_up(60.0)
    assert fenced.left
