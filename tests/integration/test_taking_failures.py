"""Failures that a playbook takes, end to end: what follows them, and what becomes of the flow."""

import pathlib
from typing import Any

import pytest

from perdure.v1 import approvals_pb2, decisions_pb2, flows_pb2, instances_pb2, runs_pb2, tasks_pb2

TAKEN = """
playbook_id: taken
version: 1.0.0
title: Taken
objective: Go on after what went wrong
inputs: [{name: fails, required: true}]
nodes:
  - id: build
    type: deterministic
    shell: true
    command: 'test "$FAILS" != build'
    env: {FAILS: "{{ inputs.fails }}"}
    effect: none
    on_failure: {max_iterations: 2}
  - {id: ask, type: approval, prompt: "Publish it?"}
  - {id: publish, type: deterministic, shell: true, command: echo published >> did, effect: none}
  - id: rework
    type: deterministic
    shell: true
    command: echo "$WHY" >> did
    env: {WHY: "{{ last_approval.reason }}"}
    effect: none
  - {id: help, type: approval, prompt: "{{ last_failed_node }} failed ({{ last_error.cause }}). Is it mended?"}
  - {id: told, type: deterministic, shell: true, command: echo mended >> did, effect: none}
edges:
  - {from: build, to: ask}
  - {from: ask, to: publish}
  - {from: ask, to: rework, on: rejected}
  - {from: help, to: told}
error_handlers:
  - {on: EXIT_CODE, action: escalate, to: help}
"""


async def decide(service: Any, flow: flows_pb2.Flow, kind: str, reason: str) -> str:
    """Decides what the flow asks next, and returns what it asked."""
    asked = await service.until(flow, lambda recorded: recorded.event.HasField("wait_opened"))
    name = f"approvals/{asked.event.wait_opened.approval.approval_id}"
    approval = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=name))
    decision = decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{kind}")
    request = approvals_pb2.DecideApprovalRequest(name=name, decision=decision, token=approval.token, reason=reason)
    await service.approvals.DecideApproval(request)
    return str(asked.event.wait_opened.approval.prompt)


def lines(folder: pathlib.Path) -> list[str]:
    did = folder / "did"
    return did.read_text().split() if did.exists() else []


@pytest.mark.parametrize(
    ("fails", "kind", "asked", "did"),
    [
        ("nothing", "REJECTED", "Publish it?", ["later"]),
        ("nothing", "APPROVED", "Publish it?", ["published"]),
        ("build", "APPROVED", "build failed (EXIT_CODE). Is it mended?", ["mended"]),
    ],
)
async def test_a_flow_goes_on_after_a_failure_that_its_playbook_takes(
    serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any, fails: str, kind: str, asked: str, did: list[str]
) -> None:
    service = await serve()
    await hire(service, {})
    flow = await service.start(TAKEN, request=flows_pb2.FlowRequest(input=b'{"fails": "%b"}' % fails.encode()))

    prompt = await decide(service, flow, kind, "later")
    ended = await service.settled(flow)

    assert (prompt, lines(tmp_path)) == (asked, did)
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert await violations(service, ended.root_run) == []
    tasks = await service.tasks.ListTasks(tasks_pb2.ListTasksRequest(parent="sessions/s"))
    failed = [task for task in tasks.tasks if task.result.exit_code]
    assert len(failed) == (2 if fails == "build" else 0)  # listed, and not counted


async def test_what_a_person_rejects_while_mending_fails_the_run(serve: Any, hire: Any, violations: Any) -> None:
    service = await serve()
    await hire(service, {})
    flow = await service.start(TAKEN, request=flows_pb2.FlowRequest(input=b'{"fails": "build"}'))

    await decide(service, flow, "REJECTED", "it is not")
    ended = await service.settled(flow)

    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=ended.root_run))
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_FAILED"
    assert (run.failure_cause, run.failed_instance) == (instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED, "help:1#1")
    assert await violations(service, ended.root_run) == []
