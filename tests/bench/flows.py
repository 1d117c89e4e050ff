"""Playbooks that are measured, and flows of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from perdure.client import Client
from perdure.v1 import (
    approvals_pb2,
    decisions_pb2,
    flows_pb2,
    playbooks_pb2,
    run_states_pb2,
    runs_pb2,
    sessions_pb2,
)

NODES: Final = 10
AT_ONCE: Final = 64
LOOK_EVERY_SECONDS: Final = 0.1
LIMIT_SECONDS: Final = 1200.0


def line(function: str, effect: str, nodes: int = NODES) -> list[dict[str, Any]]:
    """Nodes that call one function after the other."""
    return [{"id": f"n{n}", "type": "function", "function": function, "effect": effect} for n in range(nodes)]


def gated(function: str) -> list[dict[str, Any]]:
    """A gate, and a call behind it."""
    return [{"id": "gate", "type": "approval", "prompt": "go on?"}, *line(function, "none", 1)]


async def publish(perdure: Client, nodes: list[dict[str, Any]]) -> flows_pb2.StartFlowRequest:
    """Publishes a playbook of these nodes; a request that starts it, but for the idempotency key."""
    manifest = {"playbook_id": "bench", "version": "1.0.0", "title": "Bench", "objective": "Measure", "nodes": nodes}
    document = playbooks_pb2.PlaybookDocument(text=json.dumps(manifest).encode())
    version = await perdure.playbooks.CreatePlaybookVersion(
        playbooks_pb2.CreatePlaybookVersionRequest(document=document)
    )
    evidence = [playbooks_pb2.Evidence(kind="review", id="bench")]
    await perdure.playbooks.PublishPlaybookVersion(
        playbooks_pb2.PublishPlaybookVersionRequest(name=version.name, digest=version.digest, evidence=evidence)
    )
    await perdure.sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id="bench"))
    return flows_pb2.StartFlowRequest(playbook_version=version.name, digest=version.digest, session="sessions/bench")


async def start(perdure: Client, asked: flows_pb2.StartFlowRequest, key: str) -> flows_pb2.Flow:
    """Starts a flow."""
    request = flows_pb2.StartFlowRequest()
    request.CopyFrom(asked)
    request.idempotency_key = key
    return await perdure.flows.StartFlow(request)


async def start_many(perdure: Client, asked: flows_pb2.StartFlowRequest, flows: int) -> list[flows_pb2.Flow]:
    """Starts so many flows."""
    return await at_once([start(perdure, asked, f"bench-{number}") for number in range(flows)])


async def at_once(calls: list[Any]) -> list[Any]:
    """Makes calls, AT_ONCE of them at a time; their results in order."""
    free = asyncio.Semaphore(AT_ONCE)

    async def make(call: Any) -> Any:
        async with free:
            return await call

    return await asyncio.gather(*map(make, calls))


async def until_none_is(perdure: Client, *states: str) -> None:
    """Waits until no run is in one of these states.

    Asks for one state at a time, and for queued runs only when nothing is in another: to say what keeps a queued run, the
    server looks at its whole queue, and that would be measured with the rest.
    """
    in_order = sorted(states, key=lambda state: state == "QUEUED")
    async with asyncio.timeout(LIMIT_SECONDS):
        while await _one_is(perdure, in_order):  # noqa: ASYNC110  # no call waits for thousands of runs
            await asyncio.sleep(LOOK_EVERY_SECONDS)


async def _one_is(perdure: Client, states: list[str]) -> bool:
    for state in states:
        number = run_states_pb2.RunState.Value(f"RUN_STATE_{state}")
        if (await perdure.runs.ListRuns(runs_pb2.ListRunsRequest(states=[number], page_size=1))).runs:
            return True
    return False


async def events(perdure: Client, flow: flows_pb2.Flow) -> AsyncIterator[Any]:
    """Events of a flow's root run as they are watched, to its end."""
    watch = perdure.runs.WatchRun(runs_pb2.WatchRunRequest(name=flow.root_run))
    async for item in watch:
        if item.HasField("event"):
            yield item.event


async def stamp_of(perdure: Client, flow: flows_pb2.Flow) -> float:
    """When the flow's `stamp` was called, in seconds of this machine's monotonic clock."""
    async for event in events(perdure, flow):
        if event.event.HasField("node_output") and "at" in (output := json.loads(event.event.node_output.json)):
            return int(output["at"]) / 1e9
    raise SystemExit(f"{flow.name} ended without having called its function")


async def open_approvals(perdure: Client) -> list[approvals_pb2.Approval]:
    """Every open approval."""
    found: list[approvals_pb2.Approval] = []
    request = approvals_pb2.ListApprovalsRequest(states=[approvals_pb2.Approval.STATE_OPEN], page_size=1000)
    while True:
        page = await perdure.approvals.ListApprovals(request)
        found += page.approvals
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def approve(perdure: Client, name: str) -> None:
    """Approves what a gate asks for."""
    shown = await perdure.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=name))
    approved = decisions_pb2.DECISION_KIND_APPROVED
    request = approvals_pb2.DecideApprovalRequest(name=name, decision=approved, token=shown.token)
    await perdure.approvals.DecideApproval(request)
