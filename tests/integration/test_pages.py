"""Whoever reads a list page by page sees everything that was there when it began, once, while more is added."""

import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from perdure.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    approvals_pb2,
    decisions_pb2,
    flows_pb2,
    playbooks_pb2,
    run_events_pb2,
    runs_pb2,
    server_pb2,
    sessions_pb2,
    tasks_pb2,
)

KIB = 1024
MANIFEST = {
    "version": "1.0.0",
    "title": "Work",
    "objective": "Do it",
    "nodes": [
        {"id": "check", "type": "deterministic", "command": "true", "effect": "none"},
        {"id": "gate", "type": "approval", "prompt": "Go on?"},
        {"id": "again", "type": "deterministic", "command": "true", "effect": "none"},
    ],
}


def asked(recorded: run_events_pb2.RecordedEvent) -> bool:
    """Whether an event says that a run waits for a person."""
    return bool(recorded.event.HasField("run_paused"))


@dataclass
class World:
    """A server that an executor works for, and in which there is more of everything with each call."""

    service: Any
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    waiting: list[flows_pb2.Flow] = field(default_factory=list)

    async def grow(self) -> None:
        """A playbook, a session, a flow, a run that has done a command and waits, and its approval."""
        number = next(self.numbers)
        text = json.dumps({**MANIFEST, "playbook_id": f"p{number:02}"})
        self.waiting.append(await self.service.start(text, key=f"k{number}", session=f"s{number % 2}"))
        await self.service.until(self.waiting[-1], asked)

    async def decide(self, flow: flows_pb2.Flow) -> None:
        """Approves what a flow waits for, and follows it to its end."""
        open_ones = approvals_pb2.ListApprovalsRequest(flow=flow.name)
        (listed,) = (await self.service.approvals.ListApprovals(open_ones)).approvals
        shown = await self.service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=listed.name))
        await self.service.approvals.DecideApproval(
            approvals_pb2.DecideApprovalRequest(
                name=shown.name, token=shown.token, decision=decisions_pb2.DECISION_KIND_APPROVED
            )
        )
        await self.service.settled(flow)


@pytest.fixture
async def world(serve: Any, hire: Any) -> World:
    service = await serve()
    await hire(service, name="e0")
    world = World(service)
    for _ in range(5):
        await world.grow()
    return world


def agents(service: Any) -> Any:
    return agents_pb2_grpc.AgentServiceStub(service.channel)


Call = Callable[..., Awaitable[Any]]
LISTS: dict[str, tuple[Callable[[World], Call], str, Callable[[Any], Any]]] = {
    "playbooks": (
        lambda w: lambda **page: w.service.playbooks.ListPlaybooks(playbooks_pb2.ListPlaybooksRequest(**page)),
        "playbooks", lambda item: item.name),
    "flows": (
        lambda w: lambda **page: w.service.flows.ListFlows(flows_pb2.ListFlowsRequest(**page)),
        "flows", lambda item: item.name),
    "sessions": (
        lambda w: lambda **page: w.service.sessions.ListSessions(sessions_pb2.ListSessionsRequest(**page)),
        "sessions", lambda item: item.name),
    "session events": (
        lambda w: lambda **page: w.service.sessions.ListSessionEvents(
            sessions_pb2.ListSessionEventsRequest(name="sessions/s1", **page)),
        "events", lambda item: (item.run_id, item.sequence)),
    "runs": (
        lambda w: lambda **page: w.service.runs.ListRuns(runs_pb2.ListRunsRequest(**page)),
        "runs", lambda item: item.name),
    "run events": (
        lambda w: lambda **page: w.service.runs.ListRunEvents(
            runs_pb2.ListRunEventsRequest(name=w.waiting[0].root_run, **page)),
        "events", lambda item: item.sequence),
    "checkpoints": (
        lambda w: lambda **page: w.service.runs.ListCheckpoints(
            runs_pb2.ListCheckpointsRequest(name=w.waiting[0].root_run, **page)),
        "checkpoints", lambda item: item.sequence),
    "approvals": (
        lambda w: lambda **page: w.service.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest(**page)),
        "approvals", lambda item: item.name),
    "tasks": (
        lambda w: lambda **page: w.service.tasks.ListTasks(tasks_pb2.ListTasksRequest(parent="sessions/s1", **page)),
        "tasks", lambda item: item.name),
    "agents": (
        lambda w: lambda **page: agents(w.service).ListAgents(agents_pb2.ListAgentsRequest(**page)),
        "agents", lambda item: item.name),
}  # fmt: skip


async def everything(call: Call, items: str, key: Callable[[Any], Any], **page: Any) -> list[Any]:
    """A list, read in as few pages as the server makes."""
    found, token = [], ""
    while True:
        response = await call(**page, page_token=token)
        found += [key(item) for item in getattr(response, items)]
        token = response.next_page_token
        if not token:
            return found


@pytest.mark.parametrize("of", LISTS)
async def test_pages_neither_skip_nor_repeat_while_work_goes_on(world: World, of: str) -> None:
    listed, items, key = LISTS[of]
    call = listed(world)
    before = await everything(call, items, key)

    found, token = [], ""
    first, second, third = world.waiting[:3]
    changes = [partial(world.decide, first), partial(world.decide, second), world.grow, partial(world.decide, third)]
    while True:
        response = await call(page_size=1, page_token=token)
        found += [key(item) for item in getattr(response, items)]
        assert len(getattr(response, items)) <= 1
        token = response.next_page_token
        if not token:
            break
        if changes:
            await changes.pop(0)()

    assert [item for item in found if item in before] == before
    assert len(set(found)) == len(found)
    assert len(before) > 1


async def test_executors_are_listed_once_while_some_come_and_one_leaves(world: World, hire: Any) -> None:
    workers = [await hire(world.service, name=f"e{number}") for number in (1, 2)]
    request = server_pb2.ListExecutorsRequest(page_size=1)
    names = []
    while True:
        response = await world.service.server.ListExecutors(request)
        names += [executor.name for executor in response.executors]
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
        if len(names) == 2:
            await workers[0].drain()
            await hire(world.service, name="e0")

    assert names == ["executors/e0", "executors/e1", "executors/e2"]


@pytest.mark.parametrize("of", LISTS)
async def test_a_page_is_at_most_as_long_as_was_asked_and_the_last_names_no_other(world: World, of: str) -> None:
    listed, items, key = LISTS[of]
    call = listed(world)
    whole = await everything(call, items, key)

    by_two = await everything(call, items, key, page_size=2)

    assert by_two == whole


async def test_a_list_of_large_things_comes_in_pages_that_can_be_read(serve: Any) -> None:
    service = await serve()
    metadata = Struct()
    metadata.update({"note": "x" * 700 * KIB})
    text = json.dumps({**MANIFEST, "playbook_id": "p"})
    for number in range(8):
        request = flows_pb2.FlowRequest(metadata=metadata)
        await service.start(text, key=f"k{number}", flow_id=f"f{number}", request=request)

    async def call(**page: Any) -> Any:
        return await service.flows.ListFlows(flows_pb2.ListFlowsRequest(**page))

    names = await everything(call, "flows", lambda flow: flow.name)

    assert names == [f"flows/f{number}" for number in reversed(range(8))]
