"""The runs of one process, and what is said of them on one stream after another."""

import asyncio
import hashlib
from dataclasses import replace
from typing import Any

import pytest

from perdure.runlog.plans import WalkPlan
from perdure.v1 import (
    approval_facts_pb2,
    decisions_pb2,
    execution_pb2,
    fact_events_pb2,
    instances_pb2,
    plans_pb2,
    run_events_pb2,
    run_states_pb2,
)
from perdure.v1.execution_pb2 import WorkResponse
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure_executor import clock, room
from perdure_executor.calls import Calls
from perdure_executor.held_runs import HeldRuns
from perdure_executor.lease_keeper import LeaseKeeper, LeaseTerms
from perdure_executor.node_context import Equipment


class Effect:
    """A function that goes on until it is let go, though it is asked to stop."""

    def __init__(self) -> None:
        self.begun, self.release = asyncio.Event(), asyncio.Event()
        self.output: dict[str, str] | None = None

    async def __call__(self, call: Any) -> dict[str, str] | None:
        self.begun.set()
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                continue
        return self.output


@pytest.fixture
async def effect() -> Effect:
    return Effect()


@pytest.fixture
def equipment(effect: Effect) -> Any:
    async def work(call: Any) -> dict[str, str] | None:
        return await effect(call)

    nobody: Any = None  # nothing here is a command
    return Equipment(nobody, {"noop": work}, Calls(1), "", {}, 1 << 20, 1 << 20, 0.0, {})


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
    held.take_in(assignment(plans.line(plans.node("publish", effect=instances_pb2.EFFECT_AT_MOST_ONCE))))
    said(held)
    held.take_in(answer(ack=execution_pb2.Ack(ordinal=1)))
    await effect.begun.wait()
    held.take_in(answer(rejected=execution_pb2.Rejected()))
    effect.release.set()
    while held.count:
        held.wake.clear()
        await held.wake.wait()
    return held


def assignment(walked: WalkPlan) -> WorkResponse:
    """A run of a plan is handed out."""
    plan = walked.message.SerializeToString()
    created = RunEvent(run_created=run_events_pb2.RunCreated(lineage=instances_pb2.Lineage(lineage_id="line")))
    handed_out = execution_pb2.Assignment(
        number=1, run_id="run", lease_id="lease", plan=plan, plan_digest=hashlib.sha256(plan).digest(),
        events=[RecordedEvent(run_id="run", sequence=1, event=created)],
    )  # fmt: skip
    return WorkResponse(assignments=[handed_out])


def answer(**said: Any) -> WorkResponse:
    """The server's answer to the run's last batch."""
    return WorkResponse(answers=[execution_pb2.Answer(run_id="run", lease_id="lease", **said)])


def said(held: HeldRuns) -> execution_pb2.WorkRequest:
    """Everything there is to say now, as one message."""
    request = execution_pb2.WorkRequest()
    while (piece := held.next_request()) is not None:
        add(request, piece)
    return request


def add(request: execution_pb2.WorkRequest, piece: execution_pb2.WorkRequest) -> None:
    """Adds what is said next; credits replace those before."""
    if piece.HasField("credits"):
        request.ClearField("credits")
    request.MergeFrom(piece)


def events_of(request: execution_pb2.WorkRequest) -> list[RunEvent]:
    return [event for batch in request.batches for event in batch.events]


async def said_with(held: HeldRuns, kind: str) -> execution_pb2.WorkRequest:
    """Everything that is said until an event of a kind is."""
    everything = said(held)
    while kind not in [event.WhichOneof("kind") for event in events_of(everything)]:
        await held.wake.wait()
        held.wake.clear()
        add(everything, said(held))
    return everything


async def test_of_an_effect_that_was_lost_before_it_began_it_is_said_that_it_did_not_begin(
    held: HeldRuns, effect: Effect, plans: Any
) -> None:
    held.take_in(assignment(plans.line(plans.node("publish", effect=instances_pb2.EFFECT_AT_MOST_ONCE))))
    said(held)

    held.take_in(answer(rejected=execution_pb2.Rejected()))
    while held.count:
        held.wake.clear()
        await held.wake.wait()

    (report,) = said(held).late_reports
    assert (report.report.outcome, report.report.message) == (instances_pb2.OUTCOME_STOPPED, "it had not begun")
    assert not effect.begun.is_set()


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


async def test_a_run_whose_end_is_on_its_way_takes_no_room(held: HeldRuns, effect: Effect, plans: Any) -> None:
    effect.release.set()
    held.take_in(assignment(plans.line(plans.node("publish"))))

    ending = await said_with(held, "run_ended")
    held.take_in(answer(ack=execution_pb2.Ack(ordinal=3)))

    assert (ending.credits.free, ending.credits.last_assignment) == (4, 1)
    assert held.count == 0
    assert not said(held).HasField("credits"), "nothing has changed since the end was said"


async def test_a_run_whose_pause_comes_too_late_takes_room_again(held: HeldRuns, effect: Effect, plans: Any) -> None:
    effect.release.set()
    gate = plans.node("gate", approval=plans_pb2.ApprovalNode(prompt="go on?"))
    held.take_in(assignment(plans.line(gate, plans.node("publish"))))
    pausing = await said_with(held, "run_paused")
    wait = next(event.wait_opened for event in events_of(pausing) if event.HasField("wait_opened"))
    approved = approval_facts_pb2.Decision(
        approval_id=wait.approval.approval_id, kind=decisions_pb2.DECISION_KIND_APPROVED, decider="ada"
    )
    decided = RunEvent(fact_recorded=fact_events_pb2.FactRecorded(instance=wait.instance, decision=approved))
    facts = [RecordedEvent(run_id="run", sequence=9, event=decided)]

    held.take_in(answer(behind=execution_pb2.Behind(from_ordinal=len(events_of(pausing)), facts=facts)))
    going_on = await said_with(held, "node_started")

    assert pausing.credits.free == 4
    assert going_on.credits.free == 3


async def test_an_executor_that_leaves_does_so_when_its_last_run_is_given_up(
    held: HeldRuns, effect: Effect, plans: Any
) -> None:
    effect.release.set()
    held.take_in(assignment(plans.line(plans.node("publish"))))
    await said_with(held, "run_ended")
    held.drain()
    said(held)
    held.wake.clear()

    held.take_in(answer(ack=execution_pb2.Ack(ordinal=3)))

    assert held.left
    assert held.wake.is_set(), "nobody would look"


async def test_a_run_whose_plan_cannot_be_read_is_not_held_and_no_other_suffers(held: HeldRuns, plans: Any) -> None:
    broken = assignment(plans.line(plans.node("publish")))
    broken.assignments[0].plan += b"\xff"

    held.take_in(broken)
    told = said(held)
    held.beat()

    assert [ack.number for ack in told.assignment_acks] == [1]
    assert (told.credits.free, told.credits.last_assignment) == (4, 1)
    assert not said(held).heartbeat.held


async def test_facts_that_come_while_a_log_is_on_its_way_are_not_lost(
    held: HeldRuns, effect: Effect, plans: Any
) -> None:
    handed_out = assignment(plans.line(plans.node("publish")))
    (created,) = handed_out.assignments[0].events
    del handed_out.assignments[0].events[:]
    handed_out.assignments[0].history_follows = True
    stop = RunEvent(stop_requested=run_events_pb2.StopRequested(kind=run_events_pb2.STOP_KIND_CANCEL))
    facts = [RecordedEvent(run_id="run", sequence=2, event=stop)]

    held.take_in(handed_out)
    held.take_in(WorkResponse(deliveries=[execution_pb2.Delivery(run_id="run", lease_id="lease", facts=facts)]))
    held.take_in(WorkResponse(histories=[execution_pb2.History(number=1, events=[created], last=True)]))
    told = await said_with(held, "run_ended")

    assert events_of(told)[-1].run_ended.state == run_states_pb2.RUN_STATE_CANCELLED


async def test_a_run_that_is_taken_back_while_its_log_is_on_its_way_takes_no_room(held: HeldRuns, plans: Any) -> None:
    handed_out = assignment(plans.line(plans.node("publish")))
    handed_out.assignments[0].history_follows = True
    held.take_in(handed_out)
    held.beat()
    (arriving,) = said(held).heartbeat.held

    held.take_in(answer(rejected=execution_pb2.Rejected()))
    held.beat()
    told = said(held)

    assert arriving.run_id == "run"
    assert told.credits.free == 4
    assert not told.heartbeat.held


async def test_no_run_is_taken_while_too_much_is_on_its_way_to_the_log(
    held: HeldRuns, effect: Effect, plans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_BACKLOG_BYTES", 150)
    effect.release.set()
    held.take_in(assignment(plans.line(plans.node("publish"))))

    choked = await said_with(held, "node_settled")
    held.take_in(answer(ack=execution_pb2.Ack(ordinal=3)))
    eased = said(held)

    assert choked.credits.free == 0
    assert eased.credits.free == 4


async def test_a_server_that_comes_back_with_a_smaller_limit_is_heeded(
    held: HeldRuns, equipment: Any, effect: Effect, plans: Any
) -> None:
    effect.output = {"text": "x" * 100}
    held.take_in(assignment(plans.line(plans.node("publish"))))
    await said_with(held, "node_started")

    held.begin_stream(replace(equipment, max_payload_bytes=50))
    effect.release.set()
    told = await said_with(held, "node_settled")

    settled = next(event.node_settled for event in events_of(told) if event.HasField("node_settled"))
    assert settled.cause == instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE
