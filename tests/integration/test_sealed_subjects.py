"""What people let pass is looked at again in plain: that it is encrypted, or with which key, makes it no other thing."""

import pathlib
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure.encryption.key_files import new_keys, read_keys, write_keys
from perdure.v1 import approvals_pb2, decisions_pb2, flows_pb2, instances_pb2, runs_pb2

GATED = """
playbook_id: frozen
version: 1.0.0
title: Frozen
objective: Apply what somebody has read
nodes:
  - {id: make, type: function, function: make, effect: none}
  - {id: read, type: approval, prompt: "Apply {{ nodes.make.what }}?",
     subject: {all: "{{ nodes.make }}", text: "it is {{ nodes.make.what }}"}}
  - {id: apply, type: deterministic, command: "true", effect: at_most_once}
"""
NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def make(call: Any) -> Any:
    return {"what": "that-nobody-reads"}


@pytest.fixture
def keys(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "keys.json"
    write_keys(path, new_keys(NOW), new=True)
    return path


async def approved(service: Any, flow: flows_pb2.Flow) -> bytes:
    """Approves what is asked first; returns its subject, as it is stored."""
    wait = await service.until(flow, lambda one: one.event.HasField("wait_opened"))
    name = f"approvals/{wait.event.wait_opened.approval.approval_id}"
    found = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=name))
    decision = decisions_pb2.DECISION_KIND_APPROVED
    asked = approvals_pb2.DecideApprovalRequest(name=name, token=found.token, decision=decision)
    await service.approvals.DecideApproval(asked)
    return bytes(found.subject)


@pytest.mark.parametrize("rotated", [False, True])
async def test_an_encrypted_subject_that_is_what_it_was_is_not_asked_for_again(
    serve: Any, hire: Any, keys: pathlib.Path, rotated: bool
) -> None:
    service = await serve()
    worker = await hire(service, {"make": make}, name="first", encryption_keys=keys)
    flow = await service.start(GATED)
    await service.until(flow, lambda one: one.event.HasField("wait_opened"))
    await worker.drain()
    if rotated:
        write_keys(keys, read_keys(keys).rotated(NOW), new=False)
    await hire(service, {"make": make}, name="second", encryption_keys=keys)

    subject = await approved(service, flow)
    ended = await service.settled(flow)

    assert b"that-nobody-reads" not in subject
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"


async def test_without_the_key_nobody_can_tell_and_the_effect_does_not_begin(
    serve: Any, hire: Any, keys: pathlib.Path
) -> None:
    service = await serve()
    worker = await hire(service, {"make": make}, name="first", encryption_keys=keys)
    flow = await service.start(GATED)
    await service.until(flow, lambda one: one.event.HasField("wait_opened"))
    await worker.drain()
    await hire(service, {"make": make}, name="second")

    await approved(service, flow)
    await service.settled(flow)

    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))
    (ended,) = [one.event.run_ended for one in listed.events if one.event.HasField("run_ended")]
    assert ended.cause == instances_pb2.FAILURE_CAUSE_CANNOT_DECRYPT
    assert "what was decided at read cannot be opened" in ended.message
