"""Decisions of every kind end to end: what a person says is what the nodes behind it work with."""

import json
import pathlib
from typing import Any

import pytest

from perdure.v1 import approvals_pb2, decisions_pb2, flows_pb2, runs_pb2

ASKING = """
playbook_id: asking
version: 1.0.0
title: Asking
objective: Write what a person says
inputs: [{{name: text, required: true}}]
nodes:
  - {{id: ask, type: approval, prompt: "Is this right?", subject: {{text: "{{{{ inputs.text }}}}"}}, {gate}}}
  - {{id: write, type: deterministic, shell: true, command: "cat > said", stdin: "{said}", effect: none}}
"""

Decision = approvals_pb2.DecideApprovalRequest


async def asked(service: Any, flow: flows_pb2.Flow) -> approvals_pb2.Approval:
    opened = await service.until(flow, lambda recorded: recorded.event.HasField("wait_opened"))
    name = f"approvals/{opened.event.wait_opened.approval.approval_id}"
    approval: approvals_pb2.Approval = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=name))
    return approval


@pytest.mark.parametrize(
    ("gate", "said", "decision", "written"),
    [
        ("kind: review, content_key: text", "{{ text }}", Decision(decision="DECISION_KIND_APPROVED"), "first"),
        (
            "kind: review, content_key: text",
            "{{ text }}, before {{ nodes.ask.subject.text }}",
            Decision(decision="DECISION_KIND_EDITED", content=b'"second"'),
            "second, before first",
        ),
        (
            "kind: input, content_schema: {type: object, required: [n]}",
            "{{ nodes.ask.content.n }} by {{ last_approval.decider }}",
            Decision(decision="DECISION_KIND_PROVIDED", content=b'{"n": 3}'),
            "3 by anonymous",
        ),
        (
            "kind: select, options: [blue, {id: green, label: 'as {{ inputs.text }}'}]",
            "{{ last_approval.selected_option }}, {{ nodes.ask.decision }}",
            Decision(decision="DECISION_KIND_SELECTED", selected_option="green"),
            "green, selected",
        ),
    ],
    ids=["approved", "edited", "provided", "selected"],
)
async def test_what_was_decided_is_what_the_next_node_sees(
    serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any, gate: str, said: str, decision: Any, written: str
) -> None:
    service = await serve()
    await hire(service)
    request = flows_pb2.FlowRequest(input=b'{"text": "first"}')
    flow = await service.start(ASKING.format(gate=gate, said=said), request=request)
    shown = await asked(service, flow)

    made = Decision(name=shown.name, token=shown.token)
    made.MergeFrom(decision)
    decided = await service.approvals.DecideApproval(made)
    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert (tmp_path / "said").read_text() == written
    assert (decided.decision, decided.content) == (made.decision, made.content.replace(b": ", b":"))
    assert await violations(service, ended.root_run) == []


async def test_a_person_is_shown_what_there_is_to_choose_and_what_was_done_until_then(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service)
    asking = """
playbook_id: shown
version: 1.0.0
title: Shown
objective: Show it
nodes:
  - {id: look, type: deterministic, command: "true", effect: none}
  - {id: may, type: approval, prompt: May it?}
  - id: where
    type: approval
    kind: select
    prompt: "Where, {{ nodes.may.decider }}?"
    options: [blue, {id: green, label: "as {{ nodes.may.decision }}"}]
    default_option: green
  - {id: go, type: function, function: f, effect: at_most_once}
"""
    flow = await service.start(asking)
    first = await asked(service, flow)
    approved = decisions_pb2.DECISION_KIND_APPROVED
    await service.approvals.DecideApproval(Decision(name=first.name, token=first.token, decision=approved))
    opened = await service.until(
        flow,
        lambda recorded: recorded.event.wait_opened.approval.kind == decisions_pb2.APPROVAL_KIND_SELECT,
    )
    name = f"approvals/{opened.event.wait_opened.approval.approval_id}"
    second = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=name))

    shown = json.loads(second.subject)
    assert list(second.options) == ["blue", "green"]
    assert shown["options"] == [{"id": "blue"}, {"id": "green", "label": "as approved"}]
    assert (shown["kind"], shown["default_option"], shown["allowed"]) == ("select", "green", ["rejected", "selected"])
    assert shown["evidence"] == [{"id": "look", "kind": "task"}, {"id": "may", "kind": "approval"}]
    assert shown["effects"] == [{"effect": "at_most_once", "node": "go"}]
    assert shown["bindings_digest"] != json.loads(first.subject)["bindings_digest"]


@pytest.mark.parametrize(("second", "status"), [("keys/ada", "STATUS_FAILED"), ("keys/bob", "STATUS_WAITING")])
async def test_two_who_turn_out_to_be_one_are_not_waited_for_in_vain(
    serve: Any, hire: Any, second: str, status: str
) -> None:
    service = await serve()
    await hire(service)
    asks = "assignees: ['{{ inputs.one }}', '{{ inputs.other }}'], quorum: 2"
    manifest = ASKING.format(gate=asks, said="").replace(
        "[{name: text, required: true}]", "[{name: one}, {name: other}]"
    )
    manifest = manifest.replace("inputs.text", "inputs.one")
    request = flows_pb2.FlowRequest(input=json.dumps({"one": "keys/ada", "other": second}).encode())
    flow = await service.start(manifest, request=request)

    await service.until(flow, lambda one: one.event.HasField("wait_opened") or one.event.HasField("node_settled"))
    last = await service.flows.GetFlow(flows_pb2.GetFlowRequest(name=flow.name))
    ended = last if status == "STATUS_WAITING" else await service.settled(flow)

    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))
    assert flows_pb2.Flow.Status.Name(ended.status) == status
    assert run.failure_message == (
        "its assignees are 1 at most, and 2 people must say the same" if second == "keys/ada" else ""
    )
