"""Calls: one exception with a reason, a request id that stays over repetitions, deadlines, and pages to the last."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from perdure.client import CallFailed, FieldFault, pages
from perdure.v1.sessions_pb2 import CreateSessionRequest, ListSessionsRequest, ListSessionsResponse, Session

from .conftest import refusal


def answering(message: Any) -> Any:
    async def answer(request: Any, context: Any) -> Any:
        return message

    return answer


def refusing(status: Any) -> Any:
    async def answer(request: Any, context: Any) -> Any:
        await context.abort_with_status(status)

    return answer


async def test_a_refusal_has_its_reason_its_fields_and_its_metadata(played: Any, connect: Any) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="session_id", description="is too long")
    request = error_details_pb2.BadRequest(field_violations=[violation])
    status = refusal(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", request, hint="x")
    played.answers["CreateSession"] = [refusing(status)]
    perdure = await connect()

    with pytest.raises(CallFailed) as failed:
        await perdure.sessions.CreateSession(CreateSessionRequest(session_id="s"))

    failure = failed.value
    assert (failure.code, failure.reason, failure.message) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "FIELD_INVALID",
        "it says no",
    )
    assert failure.faults == (FieldFault("session_id", "is too long"),)
    assert dict(failure.metadata) == {"hint": "x"}
    assert not failure.lost


async def test_a_refusal_that_may_pass_says_when_to_try_again(played: Any, connect: Any) -> None:
    delay = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=3))
    played.answers["CreateSession"] = [refusing(refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", delay))]
    perdure = await connect()

    with pytest.raises(CallFailed) as failed:
        await perdure.sessions.CreateSession(CreateSessionRequest())

    assert failed.value.retry_delay == timedelta(seconds=3)
    assert failed.value.lost


async def test_a_reason_of_somebody_else_is_not_taken_for_ours(played: Any, connect: Any) -> None:
    async def answer(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "a proxy says no")

    played.answers["CreateSession"] = [answer]
    perdure = await connect()

    with pytest.raises(CallFailed) as failed:
        await perdure.sessions.CreateSession(CreateSessionRequest())

    assert (failed.value.reason, failed.value.code) == ("", grpc.StatusCode.PERMISSION_DENIED)


async def test_a_call_that_is_tried_again_carries_the_same_request_id(played: Any, connect: Any) -> None:
    draining = refusing(refusal(grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING"))
    played.answers["CreateSession"] = [draining, draining, answering(Session(name="sessions/s"))]
    perdure = await connect()

    made = await perdure.sessions.CreateSession(CreateSessionRequest())

    assert made.name == "sessions/s"
    ids = [request.request_id for request in played.asked]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert ids[0]


async def test_a_request_id_of_the_callers_own_is_kept(played: Any, connect: Any) -> None:
    played.answers["CreateSession"] = [answering(Session())] * 2
    perdure = await connect()
    mine, nobodys = CreateSessionRequest(request_id="mine"), CreateSessionRequest()

    await perdure.sessions.CreateSession(mine)
    await perdure.sessions.CreateSession(nobodys)

    assert played.asked[0].request_id == "mine"
    assert played.asked[1].request_id not in ("", "mine")
    assert nobodys.request_id == ""


async def test_a_call_that_nobody_answers_ends_at_its_deadline(played: Any, connect: Any) -> None:
    ended = asyncio.Event()

    async def answer(request: Any, context: Any) -> Any:
        await ended.wait()
        return Session()

    played.answers["CreateSession"] = [answer]
    perdure = await connect(deadline=timedelta(milliseconds=200))

    with pytest.raises(CallFailed) as failed:
        await perdure.sessions.CreateSession(CreateSessionRequest())

    ended.set()
    assert failed.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_pages_go_on_to_the_last_with_the_other_fields_unchanged(played: Any, connect: Any) -> None:
    one = ListSessionsResponse(sessions=[Session(name="sessions/a")], next_page_token="two")
    two = ListSessionsResponse(sessions=[Session(name="sessions/b")])
    played.answers["ListSessions"] = [answering(one), answering(two)]
    perdure = await connect()

    found = [page async for page in pages(perdure.sessions.ListSessions, ListSessionsRequest(page_size=1))]

    assert [session.name for page in found for session in page.sessions] == ["sessions/a", "sessions/b"]
    assert [(request.page_size, request.page_token) for request in played.asked] == [(1, ""), (1, "two")]


async def test_a_client_is_made_inside_a_running_loop_only() -> None:
    from perdure.client import Client

    with pytest.raises(RuntimeError):
        await asyncio.to_thread(Client, "127.0.0.1:1")
