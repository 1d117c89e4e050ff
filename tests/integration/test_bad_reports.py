"""What an executor may not report is refused on its stream, changes no row, and hurts nothing else."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import pytest

from perdure.runlog.instances import Instance, Step
from perdure.v1 import (
    execution_pb2,
    execution_pb2_grpc,
    fact_events_pb2,
    flows_pb2,
    instances_pb2,
    node_events_pb2,
    runs_pb2,
)
from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure.v1.run_events_pb2 import RunEvent

MIB = 1024 * 1024
Rows = dict[str, tuple[int, str]]

STEP = """
playbook_id: step
version: 1.0.0
title: Step
objective: Take one step
nodes:
  - {id: a, type: function, function: noop, effect: none}
"""
HERE = Instance((Step("a", 1),), 1).message()
STARTED = RunEvent(node_started=node_events_pb2.NodeStarted(instance=HERE, effect=instances_pb2.EFFECT_NONE))


@dataclass
class Hand:
    """An executor that does only what a test says."""

    call: Any
    welcome: execution_pb2.Welcome = field(default_factory=execution_pb2.Welcome)
    assignments: list[execution_pb2.Assignment] = field(default_factory=list)

    async def say(self, **parts: Any) -> None:
        await self.call.write(WorkRequest(**parts))

    async def hears(self, part: str) -> WorkResponse:
        """The next message that has such a part."""
        while True:
            response = await self.call.read()
            assert response is not grpc.aio.EOF
            self.assignments += response.assignments
            value = getattr(response, part)
            if response.HasField(part) if not hasattr(value, "__len__") else len(value):
                return response

    async def takes(self) -> execution_pb2.Assignment:
        """Takes one run, and confirms it by its first event."""
        await self.say(credits=execution_pb2.Credits(free=1))
        assignment = (await self.hears("assignments")).assignments[0]
        await self.say(assignment_acks=[execution_pb2.AssignmentAck(number=assignment.number)])
        answer = await self.reports(assignment, 1, STARTED)
        assert answer.ack.ordinal == 1
        return assignment

    async def reports(self, held: execution_pb2.Assignment, first: int, *events: RunEvent) -> execution_pb2.Answer:
        """Sends a batch and gives its answer."""
        batch = execution_pb2.EventBatch(
            run_id=held.run_id, lease_id=held.lease_id, first_ordinal=first, seen=2, events=events
        )
        await self.say(batches=[batch])
        return (await self.hears("answers")).answers[0]


@pytest.fixture
async def hand(serve: Any) -> AsyncIterator[tuple[Any, Hand]]:
    """A server with a run that waits, and an executor that has said hello."""
    service = await serve(heartbeat_seconds=10.0)
    await service.start(STEP)
    call = execution_pb2_grpc.ExecutionServiceStub(service.channel).Work()
    hand = Hand(call)
    versions = execution_pb2.VersionRange(lowest=1, highest=1)
    hello = execution_pb2.Hello(
        executor_id="hand", incarnation="1", protocol=versions, fold=versions, node_kinds=["function"],
        queues=["default"], providers=["builtin"], slots=2,
    )  # fmt: skip
    await hand.say(hello=hello)
    hand.welcome = (await hand.hears("welcome")).welcome
    yield service, hand
    call.cancel()


@pytest.fixture
def rows(hand: tuple[Any, Hand], rows_in: Any) -> Callable[[], Rows]:
    """Tells what each table holds."""
    return lambda: rows_in(hand[0].data_dir)


def output(size: int) -> RunEvent:
    content = b'{"a": "' + b"x" * size + b'"}'
    return RunEvent(node_output=node_events_pb2.NodeOutput(instance=HERE, json=content))


async def test_an_output_of_5_mib_is_refused_and_hits_nothing_else(
    hand: tuple[Any, Hand], rows: Callable[[], Rows]
) -> None:
    _, executor = hand
    held = await executor.takes()
    before = rows()

    answer = await executor.reports(held, 2, output(5 * MIB))
    after = rows()
    smaller = await executor.reports(held, 2, output(1000))

    assert answer.refused.reason == execution_pb2.REFUSAL_REASON_PAYLOAD_TOO_LARGE
    assert answer.refused.from_ordinal == 2
    assert after == before
    assert smaller.ack.ordinal == 2


async def test_a_revoked_lease_stores_nothing_more(hand: tuple[Any, Hand], rows: Callable[[], Rows]) -> None:
    _, executor = hand
    held = await executor.takes()
    await executor.say(credits=execution_pb2.Credits(last_assignment=1))
    await executor.say(heartbeat=execution_pb2.Heartbeat(number=1, last_assignment=1))  # it names no run that it holds
    await executor.hears("heartbeat_ack")
    before = rows()

    answer = await executor.reports(held, 2, output(1000))

    assert answer.HasField("rejected")
    assert (answer.run_id, answer.lease_id) == (held.run_id, held.lease_id)
    assert rows() == before


async def test_a_long_message_of_a_late_report_is_cut(hand: tuple[Any, Hand]) -> None:
    service, executor = hand
    held = await executor.takes()
    await executor.say(credits=execution_pb2.Credits(last_assignment=1))
    await executor.say(heartbeat=execution_pb2.Heartbeat(number=1, last_assignment=1))  # it names no run that it holds
    await executor.hears("heartbeat_ack")

    said = fact_events_pb2.LateReported(lease_id=held.lease_id, message="ä" * 1000)
    report = execution_pb2.LateReport(run_id=held.run_id, instance=HERE, report=said)
    await executor.say(late_reports=[report])

    async for item in service.runs.WatchRun(runs_pb2.WatchRunRequest(name=f"runs/{held.run_id}")):
        if item.event.event.HasField("fact_recorded"):
            assert item.event.event.fact_recorded.late_report.message == "ä" * 512
            break


async def test_a_late_report_that_is_large_all_the_same_ends_the_stream(hand: tuple[Any, Hand]) -> None:
    _, executor = hand
    held = await executor.takes()
    report = execution_pb2.LateReport(
        run_id=held.run_id, instance=HERE, report=fact_events_pb2.LateReported(lease_id="x" * MIB)
    )

    await executor.say(late_reports=[report])

    with pytest.raises(grpc.aio.AioRpcError, match="late_reports"):
        await executor.hears("answers")


async def test_the_largest_message_is_as_large_as_the_welcome_says(hand: tuple[Any, Hand]) -> None:
    _, executor = hand
    held = await executor.takes()
    room = executor.welcome.max_message_bytes - 1000

    answer = await executor.reports(held, 2, output(room))

    assert room > 15 * MIB
    assert answer.refused.reason == execution_pb2.REFUSAL_REASON_PAYLOAD_TOO_LARGE
    with pytest.raises(grpc.aio.AioRpcError, match="larger than max"):
        await executor.reports(held, 2, output(room + 1000))


async def test_a_lease_that_never_was_stores_nothing(hand: tuple[Any, Hand], rows: Callable[[], Rows]) -> None:
    _, executor = hand
    held = await executor.takes()
    before = rows()
    held.lease_id = "forged"

    answer = await executor.reports(held, 2, output(1000))

    assert answer.HasField("rejected")
    assert rows() == before


async def test_an_event_that_a_holder_may_not_append_is_refused_by_name(
    hand: tuple[Any, Hand], rows: Callable[[], Rows]
) -> None:
    _, executor = hand
    held = await executor.takes()
    before = rows()
    unfinished = node_events_pb2.NodeSettled(instance=HERE, effect=instances_pb2.EFFECT_NONE)

    foreign = await executor.reports(held, 2, held.events[0].event)
    malformed = await executor.reports(held, 2, RunEvent(node_settled=unfinished))
    gap = await executor.reports(held, 5, output(10))

    assert foreign.refused.reason == execution_pb2.REFUSAL_REASON_MALFORMED
    assert malformed.refused.reason == execution_pb2.REFUSAL_REASON_MALFORMED
    assert gap.resend.from_ordinal == 2
    assert rows() == before


async def test_a_function_that_returns_5_mib_fails_its_own_run_and_stores_nothing_of_it(serve: Any, hire: Any) -> None:
    async def boast(call: Any) -> dict[str, str]:
        return {"a": "x" * 5 * MIB}

    service = await serve()
    await hire(service, {"noop": boast})

    flow = await service.start(STEP.replace("effect: none", "effect: none, on_failure: {max_iterations: 1}"))
    ended = await service.settled(flow)

    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))
    (settled,) = [recorded.event.node_settled for recorded in listed.events if recorded.event.HasField("node_settled")]
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_FAILED"
    assert instances_pb2.FailureCause.Name(settled.cause) == "FAILURE_CAUSE_PAYLOAD_TOO_LARGE"
    assert not any(recorded.event.HasField("node_output") for recorded in listed.events)
