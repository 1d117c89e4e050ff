"""Why a run does not go on, asked of a server that real executors work for."""

from typing import Any

from perdure.v1 import flows_pb2, runs_pb2
from perdure.v1.run_explanations_pb2 import RunExplanation, Unserved


async def explain(service: Any, flow: flows_pb2.Flow) -> RunExplanation:
    return await service.runs.ExplainRun(runs_pb2.ExplainRunRequest(name=flow.root_run))


def kinds(found: RunExplanation) -> list[str]:
    return [reason.WhichOneof("reason") or "" for reason in found.reasons]


async def test_a_run_waits_for_an_executor_then_for_its_turn_then_is_under_way(
    serve: Any, employ: Any, lasting: str
) -> None:
    service = await serve()
    first = await service.start(lasting)
    alone = await explain(service, first)
    employ(service, "x", "--slots", "1")
    await service.until(first, lambda recorded: recorded.event.HasField("task_output"))
    second = await service.start(lasting, key="second")

    at_work, behind = await explain(service, first), await explain(service, second)

    (unserved,) = alone.reasons
    assert unserved.unserved.lack == Unserved.LACK_EXECUTOR
    (work,) = at_work.reasons
    assert work.under_way.executor_id == "x"
    assert [attempt.instance for attempt in work.under_way.attempts] == ["stay:1#1"]
    assert work.next_check_time.ToMicroseconds() > at_work.read_time.ToMicroseconds()
    (waits,) = behind.reasons
    assert (waits.queue_place.ahead, waits.queue_place.slots, waits.queue_place.taken_slots) == (0, 1, 1)
    for flow in (second, first):
        await service.runs.CancelRun(runs_pb2.CancelRunRequest(name=flow.root_run))
    await service.settled(first)
    assert kinds(await explain(service, first)) == ["ended"]


async def test_a_run_between_two_attempts_says_when_the_next_one_begins(
    serve: Any, hire: Any, trying_again: str
) -> None:
    def flaky(call: Any) -> None:
        raise ValueError("not yet")

    service = await serve()
    await hire(service, {"flaky": flaky})
    flow = await service.start(trying_again)
    begun = await service.until(flow, lambda recorded: recorded.event.HasField("wait_opened"))
    await service.until(flow, lambda recorded: recorded.event.HasField("run_paused"))

    found = await explain(service, flow)

    assert kinds(found) == ["next_attempt"]
    backoff = found.reasons[0].next_check_time.ToMicroseconds() - begun.stored_time.ToMicroseconds()
    assert found.reasons[0].next_attempt.instance == "flaky:1#2"
    assert backoff == 3600 * 1_000_000
    assert found.next_check_time == found.reasons[0].next_check_time
    await service.runs.CancelRun(runs_pb2.CancelRunRequest(name=flow.root_run))
