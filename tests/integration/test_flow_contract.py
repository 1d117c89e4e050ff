"""What a flow shows of itself: everything that ever belonged to it, and whether its required evidence is there."""

from typing import Any

import pytest

from perdure.v1 import approvals_pb2, decisions_pb2, flows_pb2, instances_pb2, run_events_pb2

GATED = """
playbook_id: gated
version: 1.0.0
title: Gated
objective: Do what somebody approves
nodes:
  - {id: draft, type: deterministic, command: "true", effect: none}
  - {id: gate, type: approval, prompt: Go on?, on_failure: {inject_into: draft}}
"""
REQUIRED = """
required_evidence:
  - {kind: approval, id: gate}
  - {kind: task, id: draft}
  - {kind: review, id: test}
"""

CHILD = """
playbook_id: child
version: 1.0.0
title: A child
objective: Draft it
nodes:
  - {id: draft, type: deterministic, command: "true", effect: none}
"""
PARENT = """
playbook_id: parent
version: 1.0.0
title: A parent
objective: Have it drafted
nodes:
  - {id: below, type: playbook, playbook_id: child, version: 1.0.0}
required_evidence:
  - {kind: task, id: below/draft}
  - {kind: task, id: draft}
"""


async def decide(service: Any, flow: flows_pb2.Flow, visit: int, word: str) -> None:
    """Decides what a flow asks for at a visit of its gate."""
    paused = 0

    def again(recorded: run_events_pb2.RecordedEvent) -> bool:
        nonlocal paused
        paused += recorded.event.HasField("run_paused")
        return paused == visit

    await service.until(flow, again)
    asked = approvals_pb2.ListApprovalsRequest(flow=flow.name, states=[approvals_pb2.Approval.STATE_OPEN])
    (listed,) = (await service.approvals.ListApprovals(asked)).approvals
    shown = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=listed.name))
    kind = decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{word}")
    decision = approvals_pb2.DecideApprovalRequest(name=shown.name, token=shown.token, decision=kind, reason="so")
    await service.approvals.DecideApproval(decision)


async def test_a_flow_names_every_approval_and_task_that_it_ever_had(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service)
    flow = await service.start(GATED)

    await decide(service, flow, 1, "REJECTED")
    await decide(service, flow, 2, "APPROVED")
    ended = await service.settled(flow)

    listed = (await service.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest(flow=flow.name))).approvals
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert (ended.settled, ended.decided_by) == (True, flow.root_run)
    assert list(ended.primitive_refs.runs) == [flow.root_run]
    assert list(ended.primitive_refs.approvals) == [approval.name for approval in reversed(listed)]
    assert [approval.instance for approval in listed] == ["gate:2#1", "gate:1#1"]
    assert len(ended.primitive_refs.tasks) == 2
    assert len(ended.primitive_refs.agents) == 1


@pytest.mark.parametrize("missing", ["", "  - {kind: task, id: gate}\n", "  - {kind: review, id: another}\n"])
async def test_a_flow_succeeds_with_the_evidence_that_it_requires_and_fails_without(
    serve: Any, hire: Any, missing: str
) -> None:
    service = await serve()
    await hire(service)
    flow = await service.start(GATED + REQUIRED + missing)

    await decide(service, flow, 1, "APPROVED")
    ended = await service.settled(flow)

    checks = [check.passed for check in ended.contract.checks]
    assert checks == [True, True, True] + [False] * bool(missing)
    assert ended.contract.passed == (not missing)
    if missing:
        assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_FAILED"
        assert ended.failure_cause == instances_pb2.FAILURE_CAUSE_CONTRACT_NOT_MET
    else:
        assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"


async def test_evidence_of_a_child_run_is_named_by_the_way_there_and_is_not_the_parents_own(
    serve: Any, hire: Any
) -> None:
    service = await serve()
    await hire(service)
    await service.publish(CHILD)

    ended = await service.settled(await service.start(PARENT))

    checks = {check.evidence.id: check.passed for check in ended.contract.checks}
    assert checks == {"below/draft": True, "draft": False}
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_FAILED"
