"""Questions that a flow asks people, and their answers, for the tests that ask."""

import json
from typing import Any

from perdure.v1 import approvals_pb2, flows_pb2, run_events_pb2, runs_pb2


async def asked(service: Any, flow: flows_pb2.Flow, number: int = 1) -> approvals_pb2.Approval:
    """The approval by which a flow asks its n-th question, as a decider sees it."""
    seen = []

    def is_it(recorded: run_events_pb2.RecordedEvent) -> bool:
        seen.extend([recorded.event.wait_opened] if recorded.event.HasField("wait_opened") else [])
        return len(seen) == number

    await service.until(flow, is_it)
    name = f"approvals/{seen[-1].approval.approval_id}"
    found: approvals_pb2.Approval = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=name))
    return found


async def answer(service: Any, approval: approvals_pb2.Approval, **said: Any) -> None:
    request = approvals_pb2.DecideApprovalRequest(name=approval.name, token=approval.token, **said)
    await service.approvals.DecideApproval(request)


async def events(service: Any, flow: flows_pb2.Flow) -> list[run_events_pb2.RunEvent]:
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run, page_size=500))
    return [recorded.event for recorded in listed.events]


async def printed(service: Any, flow: flows_pb2.Flow) -> list[bytes]:
    """What commands of a flow's root run have printed, piece by piece."""
    told = await events(service, flow)
    return [event.task_output.content for event in told if event.HasField("task_output")]


async def outputs_of(service: Any, flow: flows_pb2.Flow) -> list[Any]:
    """What nodes of a flow's root run have left, in the order of the log; of a question what people were shown."""
    told = await events(service, flow)
    return [json.loads(event.node_output.json) for event in told if event.HasField("node_output")]
