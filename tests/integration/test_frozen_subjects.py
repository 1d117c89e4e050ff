"""What people let pass is what is done: it is looked at again before the first effect behind a hold point."""

import json
import pathlib
from typing import Any

import pytest

from perdure.v1 import approvals_pb2, decisions_pb2, flows_pb2, instances_pb2, runs_pb2
from perdure.v1.approvals_pb2 import Approval, CloseReason

GATED = """
playbook_id: frozen
version: 1.0.0
title: Frozen
objective: Apply what somebody has read
required_evidence: [{{kind: approval, id: read}}]
nodes:
  - {{id: read, type: approval, prompt: "Apply it?", subject: {{region: north}}, artifacts: [plan.txt]}}
  - {{id: apply, type: deterministic, shell: true, command: "cat plan.txt >> applied", effect: at_most_once}}
{behind}
"""

BRANCHED = """
playbook_id: branched
version: 1.0.0
title: Branched
objective: Apply what somebody has read, whatever happens beside it
nodes:
  - {id: begin, type: deterministic, command: "true", effect: none}
  - {id: read, type: approval, prompt: "Apply it?", subject: {region: north}, artifacts: [plan.txt], depends: [begin]}
  - {id: beside, type: deterministic, shell: true, command: "echo x > other", effect: at_most_once, depends: [begin]}
  - {id: apply, type: deterministic, command: "true", effect: at_most_once, depends: [read, beside]}
"""

APPROVED = decisions_pb2.DECISION_KIND_APPROVED


async def opened(service: Any, flow: flows_pb2.Flow, visit: int) -> Approval:
    """The approval of the hold point's visit, when it is asked for."""
    wait = await service.until(
        flow,
        lambda one: one.event.HasField("wait_opened") and one.event.wait_opened.instance.path[-1].visit == visit,
    )
    name = f"approvals/{wait.event.wait_opened.approval.approval_id}"
    return await shown(service, name)


async def shown(service: Any, name: str) -> Approval:
    found: Approval = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=name))
    return found


async def approve(service: Any, approval: Approval) -> None:
    asked = approvals_pb2.DecideApprovalRequest(name=approval.name, token=approval.token, decision=APPROVED)
    await service.approvals.DecideApproval(asked)


async def let_pass(serve: Any, hire: Any, text: str) -> tuple[Any, flows_pb2.Flow]:
    """A flow in which somebody lets the hold point pass, when it has ended."""
    service = await serve()
    await hire(service)
    flow = await service.start(text)
    await approve(service, await opened(service, flow, 1))
    return service, await service.settled(flow)


async def test_a_file_that_has_changed_since_it_was_shown_is_shown_again(
    serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any
) -> None:
    (tmp_path / "plan.txt").write_text("first")
    service = await serve()
    await hire(service)
    flow = await service.start(GATED.format(behind=""))
    first = await opened(service, flow, 1)

    (tmp_path / "plan.txt").write_text("second")
    await approve(service, first)
    second = await opened(service, flow, 2)
    await approve(service, second)
    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert (tmp_path / "applied").read_text() == "second"
    digests = [json.loads(one.subject)["artifacts"][0]["sha256"] for one in (first, second)]
    assert digests[0] != digests[1]
    void = await shown(service, first.name)
    assert (void.close_reason, void.state) == (CloseReason.CLOSE_REASON_VOIDED, Approval.STATE_DECIDED)
    assert "plan.txt" in void.history[-1].voided.message
    assert await violations(service, ended.root_run) == []


async def test_what_is_as_it_was_goes_on_though_another_branch_got_on_meanwhile(
    serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any
) -> None:
    (tmp_path / "plan.txt").write_text("first")
    service, ended = await let_pass(serve, hire, BRANCHED)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert await violations(service, ended.root_run) == []


async def test_behind_the_first_effect_nothing_is_looked_at_again(
    serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any
) -> None:
    (tmp_path / "plan.txt").write_text("first")
    service = await serve()
    await hire(service)
    behind = """  - {id: change, type: deterministic, shell: true, command: "echo changed > plan.txt", effect: at_most_once}
  - {id: after, type: deterministic, shell: true, command: "echo after >> applied", effect: at_most_once}"""
    flow = await service.start(GATED.format(behind=behind))

    await approve(service, await opened(service, flow, 1))
    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert (tmp_path / "applied").read_text() == "firstafter\n"
    assert await violations(service, ended.root_run) == []


@pytest.mark.parametrize("left", ["gone", "too large"])
async def test_a_file_that_cannot_be_read_voids_the_decision_and_then_nobody_is_asked(
    serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any, left: str
) -> None:
    plan = tmp_path / "plan.txt"
    plan.write_text("first")
    service = await serve()
    await hire(service)
    flow = await service.start(GATED.format(behind=""))
    first = await opened(service, flow, 1)

    if left == "gone":
        plan.unlink()
    else:
        with plan.open("wb") as large:
            large.truncate(64 * 1024 * 1024 + 1)
    await approve(service, first)
    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_FAILED"
    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=ended.root_run))
    assert run.failure_cause == instances_pb2.FAILURE_CAUSE_REQUIRES_NOT_MET
    assert not (tmp_path / "applied").exists()
    assert await violations(service, ended.root_run) == []


TAKEN = """
playbook_id: taken
version: 1.0.0
title: Taken
objective: Go on without a decision
nodes:
  - {id: read, type: approval, prompt: "Apply it?", subject: {region: north}, timeout_seconds: 1}
  - {id: apply, type: deterministic, shell: true, command: "echo done >> applied", effect: at_most_once}
error_handlers:
  - {on: APPROVAL_EXPIRED, nodes: [read], action: continue}
"""


async def test_what_nobody_has_decided_is_not_looked_at_again(
    serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any
) -> None:
    service = await serve(sweep_seconds=0.1)
    await hire(service)
    flow = await service.start(TAKEN)

    ended = await service.settled(flow)

    assert (tmp_path / "applied").read_text() == "done\n"
    assert await violations(service, ended.root_run) == []


AGAIN = """
playbook_id: again
version: 1.0.0
title: Again
objective: Do again what was begun
nodes:
  - {id: read, type: approval, prompt: "Apply it?", artifacts: [plan.txt]}
  - id: apply
    type: deterministic
    shell: true
    command: "echo x >> plan.txt; test $(wc -l < plan.txt) -ge 3"
    effect: idempotent
    on_failure: {max_iterations: 3}
"""


async def test_an_effect_that_is_tried_again_was_begun_already(
    serve: Any, hire: Any, tmp_path: pathlib.Path, violations: Any
) -> None:
    (tmp_path / "plan.txt").write_text("")
    service, ended = await let_pass(serve, hire, AGAIN)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert await violations(service, ended.root_run) == []
