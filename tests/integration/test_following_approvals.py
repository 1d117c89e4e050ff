"""WatchApprovals: an inbox of real gRPC misses nothing over servers, restarts and tokens, and learns no secret."""

import asyncio
import pathlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from perdure.client import Client
from perdure.v1 import decisions_pb2
from perdure.v1.approvals_pb2 import (
    Approval,
    ApprovalChange,
    DecideApprovalRequest,
    GetApprovalRequest,
    WatchApprovalsRequest,
)
from perdure.v1.approvals_pb2_grpc import ApprovalServiceStub
from tests.postgres import PostgresServer

GATED = """
playbook_id: gated
version: 1.0.0
title: A gate
objective: Ask
nodes:
  - {id: gate, type: approval, prompt: go on?, subject: {what: "a secret"}}
"""

OPENED, DECIDED = ApprovalChange.KIND_OPENED, ApprovalChange.KIND_DECIDED


@pytest.fixture
def inbox(stack: AsyncExitStack) -> Callable[..., Any]:
    """Follows approvals as a program does that uses the client."""

    async def make(service: Any, **request: Any) -> Any:
        client = await stack.enter_async_context(Client(service.address))
        return aiter(client.watch_approvals(WatchApprovalsRequest(**request)))

    return make


async def asked(service: Any, key: str) -> Approval:
    """The approval that a flow waits for, started under a key."""
    flow = await service.start(GATED, key=key)
    event = await service.until(flow, lambda event: event.event.HasField("wait_opened"))
    name = f"approvals/{event.event.wait_opened.approval.approval_id}"
    return await service.approvals.GetApproval(GetApprovalRequest(name=name))


async def approve(service: Any, shown: Approval) -> None:
    approved = decisions_pb2.DECISION_KIND_APPROVED
    request = DecideApprovalRequest(name=shown.name, decision=approved, token=shown.token, reason="because")
    await service.approvals.DecideApproval(request)


async def reason_of(call: Any) -> tuple[grpc.StatusCode, str]:
    """Why a stream is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for _ in call:
            pass
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(refused.value)  # type: ignore[arg-type]  # the older interface has the same methods
    assert status is not None
    assert status.details[0].Unpack(info)
    return refused.value.code(), info.reason


async def test_what_is_open_is_shown_first_and_then_what_happens(serve: Any, hire: Any, inbox: Any) -> None:
    service = await serve()
    await hire(service)
    shown = await asked(service, "one")
    watch = await inbox(service, snapshot=True)

    first, end = await anext(watch), await anext(watch)
    await approve(service, shown)
    decided = await anext(watch)

    assert (first.open.name, end.WhichOneof("item")) == (shown.name, "snapshot_end_time")
    change = decided.change
    assert (change.kind, change.approval.name, change.approval.decider) == (DECIDED, shown.name, "anonymous")
    assert change.approval.state == Approval.STATE_DECIDED
    assert change.sequence > 0
    assert change.change_time.ToMicroseconds() > 0
    for approval in (first.open, change.approval):
        assert (approval.prompt, approval.subject, approval.content, approval.token) == ("go on?", b"", b"", "")


async def test_an_inbox_goes_on_over_a_restart_and_misses_nothing(serve: Any, hire: Any, inbox: Any) -> None:
    life = AsyncExitStack()
    service = await serve(life)
    await hire(service)
    watch = await inbox(service, snapshot=True)
    assert (await anext(watch)).HasField("snapshot_end_time")
    first = await asked(service, "one")
    seen = [await anext(watch)]
    await life.aclose()

    again = await serve(port=int(service.address.rpartition(":")[2]))
    await hire(again, name="another")
    second = await asked(again, "two")
    await approve(again, await again.approvals.GetApproval(GetApprovalRequest(name=first.name)))
    seen += [await anext(watch), await anext(watch)]

    assert [(item.change.kind, item.change.approval.name) for item in seen] == [
        (OPENED, first.name),
        (OPENED, second.name),
        (DECIDED, first.name),
    ]


async def test_what_happens_at_one_server_is_told_at_another_and_its_token_is_good_at_each(
    serve: Any, hire: Any, inbox: Any, postgres: PostgresServer, stack: AsyncExitStack, tmp_path: pathlib.Path
) -> None:
    database = await postgres.make()
    stack.push_async_callback(postgres.drop, database)
    where = {"database": database.render_as_string(hide_password=False), "data_dir": tmp_path / "shared"}
    # Nobody looks by itself for as long as the test lasts: what is told travels by the hint alone.
    here, there = await serve(**where, sweep_seconds=600.0), await serve(**where, sweep_seconds=600.0)
    await hire(here)
    watch = await inbox(there, snapshot=True)
    assert (await anext(watch)).HasField("snapshot_end_time")

    shown = [await asked(here, f"key-{number}") for number in range(5)]
    await asyncio.gather(*(approve(here, each) for each in shown))
    seen = [await anext(watch) for _ in range(10)]
    rest = await inbox(here, resume_token=seen[4].resume_token)
    later = [await anext(rest) for _ in range(5)]

    happened = [(item.change.kind, item.change.approval.name) for item in seen]
    assert sorted(happened) == sorted((kind, each.name) for kind in (OPENED, DECIDED) for each in shown)
    assert [(item.change.kind, item.change.approval.name) for item in later] == happened[5:]


async def test_a_stream_that_cannot_go_on_or_begin_says_why(serve: Any, hire: Any) -> None:
    life = AsyncExitStack()
    service = await serve(life, heartbeat_seconds=0.05)
    watch = service.approvals.WatchApprovals
    begun = await watch(WatchApprovalsRequest()).read()
    beat = await watch(WatchApprovalsRequest(resume_token=begun.resume_token)).read()

    invalid = grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"
    assert begun.HasField("heartbeat_time")
    assert beat.resume_token == begun.resume_token
    assert await reason_of(watch(WatchApprovalsRequest(resume_token="nonsense"))) == invalid
    assert await reason_of(watch(WatchApprovalsRequest(resume_token=beat.resume_token, snapshot=True))) == invalid
    assert await reason_of(watch(WatchApprovalsRequest(resume_token=beat.resume_token, run="runs/other"))) == invalid
    assert await reason_of(watch(WatchApprovalsRequest(run="other"))) == invalid
    assert await reason_of(watch(WatchApprovalsRequest(states=[Approval.STATE_UNSPECIFIED]))) == invalid

    async with grpc.aio.insecure_channel(service.address) as channel:  # one that does not end with the server
        waiting = ApprovalServiceStub(channel).WatchApprovals(WatchApprovalsRequest(snapshot=True))
        await anext(aiter(waiting))
        why = asyncio.create_task(reason_of(waiting))
        await life.aclose()
        assert await why == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")


async def test_a_token_of_a_store_that_went_back_is_expired(serve: Any, data_dir: pathlib.Path) -> None:
    life = AsyncExitStack()
    service = await serve(life, data_dir=data_dir)
    begun = await service.approvals.WatchApprovals(WatchApprovalsRequest()).read()
    await life.aclose()
    beside = data_dir / "perdure.starts"
    beside.write_text(f"{int(beside.read_text()) + 1}\n")  # the store is behind what was counted beside it

    again = await serve(data_dir=data_dir)

    went_back = grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED"
    request = WatchApprovalsRequest(resume_token=begun.resume_token)
    assert await reason_of(again.approvals.WatchApprovals(request)) == went_back


async def test_streams_of_one_caller_are_limited(serve: Any) -> None:
    service = await serve(max_streams=1)
    first = service.approvals.WatchApprovals(WatchApprovalsRequest())
    await first.read()

    second = await reason_of(service.approvals.WatchApprovals(WatchApprovalsRequest()))

    assert second == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STREAM_LIMIT_REACHED")
