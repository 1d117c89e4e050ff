"""Large outputs on their whole way: from an executor to the next one, to watchers, and back after a restart."""

from contextlib import AsyncExitStack
from typing import Any

from perdure.v1 import approvals_pb2, decisions_pb2, flows_pb2, runs_pb2

LARGE = """
playbook_id: large
version: 1.0.0
title: Large outputs
objective: Make something large, ask, and use it
nodes:
  - {id: make, type: function, function: make}
  - {id: gate, type: approval, prompt: use it?}
  - {id: use, type: function, function: use, inputs: {text: "{{ text }}"}}
"""


async def test_a_large_output_reaches_watchers_and_the_executor_that_goes_on_after_a_restart(
    serve: Any, hire: Any
) -> None:
    text = "many words " * 60_000
    used: list[str] = []

    async def make(call: Any) -> dict[str, str]:
        return {"text": text}

    async def use(call: Any) -> dict[str, int]:
        used.append(call.inputs["text"])
        return {"length": len(call.inputs["text"])}

    async with AsyncExitStack() as life:
        service = await serve(life)
        worker = await hire(service, {"make": make, "use": use})
        flow = await service.start(LARGE)
        watched = await service.until(flow, lambda each: each.event.HasField("node_output"))
        await service.until(flow, lambda each: each.event.HasField("run_paused"))
        await worker.drain()

    service = await serve()
    await hire(service, {"make": make, "use": use})
    (asked,) = (await service.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals
    approval = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=asked.name))
    approved = {"token": approval.token, "decision": decisions_pb2.DECISION_KIND_APPROVED}
    await service.approvals.DecideApproval(approvals_pb2.DecideApprovalRequest(name=asked.name, **approved))
    settled = await service.settled(flow)
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))

    assert settled.status == flows_pb2.Flow.STATUS_SUCCEEDED
    assert used == [text]
    assert text.encode() in watched.event.node_output.json
    assert watched in listed.events
