"""Guarded steps end to end: what is not chosen is not done, and the flow does not wait for it."""

import pathlib
from typing import Any

import pytest

from perdure.v1 import approvals_pb2, decisions_pb2, flows_pb2, instances_pb2, runs_pb2, server_pb2

CHOICE = """
playbook_id: choice
version: 1.0.0
title: Choice
objective: Do one of two things
inputs: [{name: size, required: true}]
nodes:
  - {id: look, type: function, function: look, effect: none, inputs: {size: "{{ inputs.size }}"}}
  - {id: small, type: deterministic, shell: true, command: echo small >> did, effect: none}
  - {id: large, type: approval, prompt: "Is this not too large?"}
  - {id: carry, type: deterministic, shell: true, command: echo large >> did, effect: none}
  - {id: tell, type: deterministic, shell: true, command: "echo told >> did", effect: none}
edges:
  - {from: look, to: small, when: "nodes.look.size < 10"}
  - {from: look, to: large, when: "size >= 10 && size < 100"}
  - {from: large, to: carry, when: "decision == 'approved' && nodes.look.size < 100"}
  - {from: small, to: tell}
  - {from: carry, to: tell}
"""


async def look(call: Any) -> dict[str, Any]:
    return {"size": int(call.inputs["size"])}


def sized(size: int) -> flows_pb2.FlowRequest:
    return flows_pb2.FlowRequest(input=b'{"size": "%d"}' % size)


def lines(folder: pathlib.Path) -> list[str]:
    did = folder / "did"
    return did.read_text().split() if did.exists() else []


async def events_of(service: Any, flow: flows_pb2.Flow) -> list[Any]:
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))
    return [recorded.event for recorded in listed.events]


async def test_only_the_chosen_way_is_walked(serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any) -> None:
    service = await serve()
    await hire(service, {"look": look})

    ended = await service.settled(await service.start(CHOICE, request=sized(3)))

    (made,) = [event.choice_made for event in await events_of(service, ended) if event.HasField("choice_made")]
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert await violations(service, ended.root_run) == []
    assert (made.target, lines(tmp_path)) == ("small", ["small", "told"])


async def test_a_decision_may_be_what_is_chosen_by(
    serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any
) -> None:
    service = await serve()
    await hire(service, {"look": look})
    flow = await service.start(CHOICE, request=sized(30))
    asked = await service.until(flow, lambda recorded: recorded.event.HasField("wait_opened"))

    name = f"approvals/{asked.event.wait_opened.approval.approval_id}"
    approval = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=name))
    approved = decisions_pb2.DECISION_KIND_APPROVED
    request = approvals_pb2.DecideApprovalRequest(name=name, decision=approved, token=approval.token)
    await service.approvals.DecideApproval(request)
    ended = await service.settled(flow)

    made = [event.choice_made.target for event in await events_of(service, ended) if event.HasField("choice_made")]
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert await violations(service, ended.root_run) == []
    assert (made, lines(tmp_path)) == (["large", "carry"], ["large", "told"])


async def test_when_no_guard_holds_the_run_fails_and_says_why(
    serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any
) -> None:
    service = await serve()
    await hire(service, {"look": look})

    ended = await service.settled(await service.start(CHOICE, request=sized(300)))

    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=ended.root_run))
    assert run.failure_cause == instances_pb2.FAILURE_CAUSE_CHOICE_UNCLEAR
    assert run.failure_message == "no guard holds, and no step is there for that case"
    assert lines(tmp_path) == []
    assert await violations(service, ended.root_run) == []


@pytest.mark.parametrize("word", ["fan_out", "choice"])
async def test_a_server_says_that_it_walks_graphs(serve: Any, word: str) -> None:
    service = await serve()

    info = await service.server.GetServerInfo(server_pb2.GetServerInfoRequest())

    assert word in info.capabilities
