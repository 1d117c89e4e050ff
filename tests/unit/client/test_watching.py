"""Watches: opened again where they broke off, every event once, and an end when patience is over or nothing helps."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest

from perdure.client import CallFailed
from perdure.v1.approvals_pb2 import Approval, WatchApprovalsRequest, WatchApprovalsResponse
from perdure.v1.flows_pb2 import Flow, WatchFlowResponse
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure.v1.runs_pb2 import WatchRunResponse

from .conftest import refusal

BROKEN = [
    (grpc.StatusCode.UNAVAILABLE, ""),
    (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING"),
    (grpc.StatusCode.INTERNAL, ""),
    (grpc.StatusCode.CANCELLED, ""),
]


def telling(*items: Any, breaks: tuple[grpc.StatusCode, str] | None = None) -> Any:
    async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
        for item in items:
            yield item
        if breaks is None:
            return
        code, reason = breaks
        if reason:
            await context.abort_with_status(refusal(code, reason))
        await context.abort(code, "broken off")

    return answer


def event(sequence: int, run: str = "r") -> RecordedEvent:
    return RecordedEvent(run_id=run, sequence=sequence)


def of_run(*sequences: int) -> list[WatchRunResponse]:
    return [WatchRunResponse(event=event(sequence)) for sequence in sequences]


@pytest.mark.parametrize("breaks", BROKEN)
async def test_a_broken_watch_is_opened_again_after_the_last_event(
    played: Any, connect: Any, breaks: tuple[grpc.StatusCode, str]
) -> None:
    played.answers["WatchRun"] = [telling(*of_run(1, 2), breaks=breaks), telling(*of_run(3))]
    perdure = await connect()

    seen = [recorded.sequence async for recorded in perdure.watch_run("runs/r")]

    assert seen == [1, 2, 3]
    assert [request.after_sequence for request in played.asked] == [0, 2]


async def test_an_event_that_is_sent_twice_is_told_once(played: Any, connect: Any) -> None:
    played.answers["WatchRun"] = [
        telling(*of_run(1, 2), breaks=(grpc.StatusCode.UNAVAILABLE, "")),
        telling(*of_run(1, 2, 2, 3)),
    ]
    perdure = await connect()

    assert [recorded.sequence async for recorded in perdure.watch_run("runs/r")] == [1, 2, 3]


async def test_what_a_new_stream_would_not_help_is_raised(played: Any, connect: Any) -> None:
    played.answers["WatchRun"] = [telling(*of_run(1), breaks=(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"))]
    perdure = await connect()
    watch = aiter(perdure.watch_run("runs/r"))

    first = await anext(watch)
    with pytest.raises(CallFailed) as failed:
        await anext(watch)

    assert (first.sequence, failed.value.reason) == (1, "NOT_FOUND")


async def test_a_watch_goes_on_over_a_server_that_is_started_again(played: Any, connect: Any) -> None:
    played.answers["WatchRun"] = [telling(*of_run(1), breaks=(grpc.StatusCode.UNAVAILABLE, "")), telling(*of_run(2))]
    perdure = await connect()
    watch = aiter(perdure.watch_run("runs/r"))

    first = await anext(watch)
    await played.stop()
    await played.start()

    assert [first.sequence] + [recorded.sequence async for recorded in watch] == [1, 2]


async def test_without_a_server_for_longer_than_patience_lasts_it_fails(played: Any, connect: Any) -> None:
    perdure = await connect(patience=timedelta(milliseconds=200))
    await played.stop()

    with pytest.raises(CallFailed) as failed:
        await anext(aiter(perdure.watch_run("runs/r")))

    assert failed.value.lost
    await played.start()


async def test_a_flow_is_watched_run_by_run_and_told_when_it_changes(played: Any, connect: Any) -> None:
    running, done = Flow(name="flows/f", status=Flow.STATUS_RUNNING), Flow(name="flows/f", settled=True)
    played.answers["WatchFlow"] = [
        telling(
            WatchFlowResponse(flow=running),
            WatchFlowResponse(event=event(1, "a")),
            WatchFlowResponse(event=event(1, "b")),
            WatchFlowResponse(event=event(2, "a")),
            breaks=(grpc.StatusCode.UNAVAILABLE, ""),
        ),
        telling(WatchFlowResponse(flow=running), WatchFlowResponse(event=event(2, "b")), WatchFlowResponse(flow=done)),
    ]
    perdure = await connect()

    news = [item async for item in perdure.watch_flow("flows/f", {"runs/c": 7})]

    events = [(item.run_id, item.sequence) for item in news if isinstance(item, RecordedEvent)]
    assert events == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert [item for item in news if isinstance(item, Flow)] == [running, done]
    again = {cursor.run: cursor.sequence for cursor in played.asked[1].cursors}
    assert again == {"runs/a": 2, "runs/b": 1, "runs/c": 7}


async def test_approvals_are_followed_from_the_last_token_and_heartbeats_are_not_told(
    played: Any, connect: Any
) -> None:
    shown = WatchApprovalsResponse(open=Approval(name="approvals/a"), resume_token="1")
    beat = WatchApprovalsResponse(resume_token="2")
    beat.heartbeat_time.GetCurrentTime()
    end = WatchApprovalsResponse(resume_token="3")
    end.snapshot_end_time.GetCurrentTime()
    broken = (grpc.StatusCode.UNAVAILABLE, "")
    played.answers["WatchApprovals"] = [telling(breaks=broken), telling(shown, beat, breaks=broken), telling(end)]
    perdure = await connect()

    asked = WatchApprovalsRequest(flow="flows/f", snapshot=True)
    seen = [item async for item in perdure.watch_approvals(asked)]

    assert seen == [shown, end]
    assert played.asked == [asked, asked, WatchApprovalsRequest(flow="flows/f", resume_token="2")]


async def test_a_token_that_has_expired_is_raised_and_not_forgotten(played: Any, connect: Any) -> None:
    played.answers["WatchApprovals"] = [telling(breaks=(grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED"))]
    perdure = await connect()

    with pytest.raises(CallFailed) as failed:
        await anext(aiter(perdure.watch_approvals(WatchApprovalsRequest(resume_token="old"))))

    assert failed.value.reason == "RESUME_TOKEN_EXPIRED"
    assert len(played.asked) == 1
