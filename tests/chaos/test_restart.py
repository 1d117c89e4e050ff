"""Everything is killed while a child's command runs and an approval is open; then everything is started again.

What was under way has ended for the loss of its executor, with what it had printed; what was asked is asked still, under
the same id; and nothing behind the hold point has happened before a person has decided.
"""

import asyncio
import pathlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from perdure.client import CallFailed, Client
from perdure.v1 import approvals_pb2, decisions_pb2, fact_events_pb2, flows_pb2, runs_pb2, tasks_pb2
from perdure.v1.run_events_pb2 import RecordedEvent
from tests.chaos.evidence import store_faults
from tests.chaos.fleet import Fleet, Seat
from tests.chaos.load import SESSION, Load
from tests.chaos.record import Record
from tests.free_ports import free_port

FINAL_MARKER = "every part is measured"
TEXT = "what was approved, and nothing else"

WORKER = """
playbook_id: worker
version: 1.0.0
title: A worker
objective: Measure, part by part
nodes:
  - id: measure
    type: deterministic
    shell: true
    command: "echo part one is measured; test -e ready || exec sleep 600; echo {marker}"
    cwd: "{place}"
    effect: at_most_once
"""
ROOT = """
playbook_id: root
version: 1.0.0
title: A root
objective: Have it measured, and publish what a person has approved
nodes:
  - {{id: begin, type: deterministic, command: echo, effect: none}}
  - {{id: measured, type: playbook, playbook_id: worker, version: 1.0.0, depends: [begin]}}
  - {{id: gate, type: approval, prompt: publish it?, subject: {{text: "{text}"}}, depends: [begin]}}
  - id: publish
    type: deterministic
    shell: true
    command: 'printf %s "$TEXT" > artifact'
    env: {{TEXT: "{{{{ nodes.gate.subject.text }}}}"}}
    cwd: "{place}"
    effect: at_most_once
    depends: [gate]
"""


@pytest.fixture
async def fleet(tmp_path: pathlib.Path) -> AsyncIterator[Fleet]:
    port = free_port()
    started = Fleet(tmp_path, executors=1, seats=[Seat(port, port)])
    started.start()
    yield started
    started.close()


@dataclass
class Scene:
    """The flow, its child run, and what was asked, as they were before everything was killed."""

    client: Client
    flow: flows_pb2.Flow
    child: str
    approval: approvals_pb2.Approval

    async def tasks(self) -> list[tasks_pb2.Task]:
        """The child's tasks, the first begun first."""
        child = await self.client.runs.GetRun(runs_pb2.GetRunRequest(name=self.child))
        listed = await self.client.tasks.ListTasks(tasks_pb2.ListTasksRequest(parent=child.session, run=self.child))
        return sorted(listed.tasks, key=lambda task: task.start_time.ToNanoseconds())

    async def printed(self, task: tasks_pb2.Task) -> str:
        """What a task has printed."""
        pieces = self.client.tasks.ReadTaskOutput(tasks_pb2.ReadTaskOutputRequest(name=task.name))
        return b"".join([piece.content async for piece in pieces]).decode()


@pytest.mark.timeout(120)
async def test_a_child_at_work_and_an_open_approval_outlive_the_loss_of_every_process(
    fleet: Fleet, tmp_path: pathlib.Path
) -> None:
    artifact = tmp_path / "artifact"
    async with Client(fleet.address) as client:
        scene = await _begin(client, tmp_path)
        fleet.kill_server(fleet.seats[0])
        fleet.kill(fleet.executors[0])
        assert not artifact.exists()

        fleet.start_server(fleet.seats[0])
        fleet.fill()
        await _seen(client, scene.child, lambda recorded: recorded.event.HasField("lease_revoked"))
        (lost,) = await scene.tasks()
        (open_still,) = (await client.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals

        assert lost.terminal_reason == tasks_pb2.TERMINAL_REASON_EXECUTOR_LOST
        assert await scene.printed(lost) == "part one is measured\n"
        assert (open_still.name, open_still.state) == (scene.approval.name, approvals_pb2.Approval.STATE_OPEN)
        assert not artifact.exists()

        (tmp_path / "ready").touch()
        await _resolve(scene)
        await _approve(scene)
        flow = await _settled(scene)
        again = (await scene.tasks())[-1]

        assert flow.status == flows_pb2.Flow.STATUS_SUCCEEDED
        assert artifact.read_text() == TEXT
        assert (again.state, again.result.exit_code) == (tasks_pb2.Task.STATE_COMPLETED, 0)
        assert (await scene.printed(again)).splitlines()[-1] == FINAL_MARKER
    fleet.look()
    assert fleet.unasked == []
    fleet.close()
    assert await store_faults(fleet.data, "") == []


async def _begin(client: Client, place: pathlib.Path) -> Scene:
    """Starts the flow, and returns when the child's command has printed and the approval is open."""
    load = Load(client, Record(), chance=None, in_flight=1, per_second=1)  # type: ignore[arg-type]  # nothing is drawn
    await load.publish([WORKER.format(marker=FINAL_MARKER, place=place), ROOT.format(text=TEXT, place=place)])
    root = load.versions[-1]
    flow = await client.flows.StartFlow(
        flows_pb2.StartFlowRequest(
            playbook_version=root.name, digest=root.digest, session=SESSION, idempotency_key=str(uuid.uuid4())
        )
    )
    begun = await _seen(client, flow.root_run, lambda recorded: recorded.event.HasField("child_started"))
    await _seen(client, flow.root_run, lambda recorded: recorded.event.wait_opened.HasField("approval"))
    child = f"runs/{begun.event.child_started.run_id}"
    await _seen(client, child, lambda recorded: recorded.event.HasField("task_output"))
    (listed,) = (await client.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals
    shown = await client.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=listed.name))
    return Scene(client, flow, child, shown)


async def _resolve(scene: Scene) -> None:
    """Says that the child's command is to be run again, as a new effect, as soon as nothing of it can run any more."""
    recovery = await scene.client.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=scene.child))
    (doubt,) = recovery.in_doubt
    asked = runs_pb2.ResolveEffectRequest(
        name=scene.child,
        instance=doubt.instance,
        resolution=fact_events_pb2.RESOLUTION_KIND_RETRY,
        report_sequence=doubt.report_sequence,
        request_id=str(uuid.uuid4()),
    )
    while True:
        try:
            await scene.client.runs.ResolveEffect(asked)
        except CallFailed as refused:
            if refused.reason != "EFFECT_MAY_RUN":
                raise
            await asyncio.sleep(0.2)  # its time is the work's, which nobody tells of
        else:
            return


async def _approve(scene: Scene) -> None:
    """Decides with the token that was given out before everything was killed."""
    await scene.client.approvals.DecideApproval(
        approvals_pb2.DecideApprovalRequest(
            name=scene.approval.name,
            decision=decisions_pb2.DECISION_KIND_APPROVED,
            token=scene.approval.token,
            request_id=str(uuid.uuid4()),
        )
    )


async def _settled(scene: Scene) -> flows_pb2.Flow:
    """The flow, when nothing of it can move any more."""
    await _seen(scene.client, scene.flow.root_run, lambda recorded: recorded.event.HasField("run_ended"))
    return await scene.client.flows.GetFlow(flows_pb2.GetFlowRequest(name=scene.flow.name))


async def _seen(client: Client, run: str, wanted: Callable[[RecordedEvent], bool]) -> RecordedEvent:
    async for recorded in client.watch_run(run):
        if wanted(recorded):
            return recorded
    raise AssertionError(f"{run} ended without it")
