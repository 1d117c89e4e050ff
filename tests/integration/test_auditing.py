"""Every call that changes something leaves an audit event that says who did what, from where and under which request."""

import contextlib
import json
import pathlib
import sqlite3
from typing import Any

import grpc.aio
import pytest

from perdure.v1 import approvals_pb2, flows_pb2, schedules_pb2, scopes_pb2
from perdure_control_plane.api.mount import SERVICES
from tests.integration.situations import (
    GATE,
    METHODS,
    REQUESTS,
    STEP,
    Situation,
    call,
    manifest,
    paused,
    situation,
    waiting_approval,
)

AUDITED = {
    method.name: list(method.GetOptions().Extensions[scopes_pb2.audited_as])
    for service in SERVICES
    for method in service.methods
    if method.GetOptions().Extensions[scopes_pb2.audited_as]
}
"""Types of the events that each call says it leaves."""


def rows(service: Any) -> list[dict[str, Any]]:
    """The audit events that are stored."""
    with contextlib.closing(sqlite3.connect(service.data_dir / "perdure.db")) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM audit_events ORDER BY event_id")]


def test_every_call_that_leaves_an_event_is_tried() -> None:
    assert set(AUDITED) == {*REQUESTS, "StartFlow", "DecideApprovals"}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_change_leaves_one_event_and_its_repetition_none(
    serve: Any, hire: Any, data_dir: pathlib.Path, name: str
) -> None:
    here = await situation(name, serve, hire, data_dir)
    service = here.service
    same, _ = await REQUESTS[name](here)
    if name == "ResumeSchedule":
        await service.schedules.PauseSchedule(schedules_pb2.PauseScheduleRequest(name=same["name"]))

    await call(here.channel, name, same)
    (event,) = [row for row in rows(service) if row["request_id"] == "r-1"]
    await call(here.channel, name, same)

    method = METHODS[name]
    assert event["type"] in AUDITED[name]
    assert event["method"] == f"/{method.containing_service.full_name}/{name}"
    assert (event["principal"], event["outcome"]) == (here.principal, "DONE")
    assert event["authenticated"] == (here.principal != "anonymous")
    assert event["peer"].startswith("ipv4:127.0.0.1:")
    assert event["resource"]
    assert [row for row in rows(service) if row["request_id"] == "r-1"] == [event]


async def test_each_of_several_decisions_leaves_an_event_of_its_own(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service)
    for name in ("one", "other"):
        flow = await service.start(manifest({**GATE, "id": name}, playbook=name), key=name, session=name)
        await service.until(flow, paused)
    listed = (await service.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals
    shown = [await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=one.name)) for one in listed]
    several = approvals_pb2.DecideApprovalsRequest(
        requests=[
            {"name": one.name, "token": one.token, "decision": 1, "request_id": one.name.partition("/")[2]}
            for one in shown
        ]
    )

    for _ in range(2):
        await service.approvals.DecideApprovals(several)

    decisions = [row for row in rows(service) if row["type"] == "human.decision"]
    assert [row["resource"] for row in decisions] == [one.name for one in shown]
    assert [row["request_id"] for row in decisions] == [one.request_id for one in several.requests]
    assert len(decisions) == 2
    assert {row["method"] for row in decisions} == {"/perdure.v1.ApprovalService/DecideApprovals"}


async def test_a_start_is_remembered_with_what_was_started(serve: Any) -> None:
    service = await serve()

    flow = await service.start(manifest(STEP), key="k-1")

    (event,) = [row for row in rows(service) if row["type"] == "run.created"]
    details = json.loads(event["details"])
    assert (event["resource"], event["request_id"]) == (flow.root_run, "k-1")
    assert (details["flow"], details["playbook_version"]) == (flow.name, flow.playbook_version)
    assert details["digest"] == flow.digest


async def test_a_decision_with_another_token_is_refused_and_remembered_with_its_reason(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service)
    asked = await waiting_approval(Situation(service, service.channel))
    wrong = approvals_pb2.DecideApprovalRequest(
        name=asked, token="hush-7f3a", decision=1, reason="hush-7f3a", request_id="r-1"
    )

    for _ in range(20):
        with pytest.raises(grpc.aio.AioRpcError):
            await service.approvals.DecideApproval(wrong)

    (event,) = [row for row in rows(service) if row["type"] == "auth.denied"]
    assert (event["outcome"], event["reason"], event["resource"]) == ("DENIED", "TOKEN_MISMATCH", asked)
    assert event["request_id"] == "r-1"
    assert event["method"] == "/perdure.v1.ApprovalService/DecideApproval"
    assert "hush" not in repr(rows(service))


async def test_denials_that_were_counted_are_written_down_when_the_server_ends(serve: Any, hire: Any) -> None:
    async with contextlib.AsyncExitStack() as own:
        service = await serve(own)
        await hire(service)
        asked = await waiting_approval(Situation(service, service.channel))
        for _ in range(20):
            with pytest.raises(grpc.aio.AioRpcError):
                await service.approvals.DecideApproval(
                    approvals_pb2.DecideApprovalRequest(name=asked, token="wrong", decision=1)
                )

    counts = [json.loads(row["details"])["count"] for row in rows(service) if row["type"] == "auth.denied"]
    assert counts == ["1", "19"]


async def test_what_only_reads_and_what_executors_append_leave_none(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service)
    flow = await service.start(manifest(STEP))
    await service.settled(flow)
    before = rows(service)

    await service.flows.ListFlows(flows_pb2.ListFlowsRequest())

    assert rows(service) == before
    assert [row["type"] for row in before] == [
        "playbook.created", "playbook.published", "session.created", "run.created"
    ]  # fmt: skip
