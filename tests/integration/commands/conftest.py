"""What tests of commands are given: playbooks of one command, and the tasks that come of them."""

import asyncio
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from perdure.v1 import flows_pb2, node_events_pb2, run_events_pb2, runs_pb2, tasks_pb2

SHORT_LEASES = {
    "lease_seconds": 1.0,
    "heartbeat_seconds": 0.3,
    "stall_allowance_seconds": 0.5,
    "sweep_seconds": 0.1,
}

STDOUT, STDERR = node_events_pb2.OUTPUT_STREAM_STDOUT, node_events_pb2.OUTPUT_STREAM_STDERR


@pytest.fixture
def short_leases() -> dict[str, float]:
    """Settings of a control plane that soon misses an executor."""
    return SHORT_LEASES


@dataclass
class Commands:
    """Runs playbooks of one command, on a service."""

    service: Any

    async def start(self, **node: Any) -> flows_pb2.Flow:
        """Starts a playbook of one command; `sh` is short for a shell's command line."""
        node |= {"command": node.pop("sh"), "shell": True} if "sh" in node else {}
        node = {"effect": "none", "on_failure": {"max_iterations": 1}, **node}
        manifest = {
            "playbook_id": "one",
            "version": "1.0.0",
            "title": "One",
            "objective": "Run one command",
            "nodes": [{"id": "act", "type": "deterministic", **node}],
        }
        return await self.service.start(json.dumps(manifest))

    async def run(self, **node: Any) -> "Ended":
        """Runs one to its end."""
        return await self.ended(await self.start(**node))

    async def ended(self, flow: flows_pb2.Flow) -> "Ended":
        """Follows a flow to its end."""
        flow = await self.service.settled(flow)
        events, tasks = await self.events(flow), await self.tasks()
        if not tasks:
            return Ended(flow, events, tasks_pb2.Task(), [])
        return Ended(flow, events, tasks[0], await self.printed(tasks[0]))

    async def events(self, flow: flows_pb2.Flow) -> list[run_events_pb2.RunEvent]:
        listed = await self.service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))
        return [recorded.event for recorded in listed.events]

    async def tasks(self) -> list[tasks_pb2.Task]:
        """Every task, the first begun first."""
        listed = await self.service.tasks.ListTasks(tasks_pb2.ListTasksRequest(parent="sessions/s"))
        return list(reversed(listed.tasks))

    async def task(self) -> tasks_pb2.Task:
        """The first task."""
        return (await self.tasks())[0]

    async def printed(self, task: tasks_pb2.Task | None = None) -> list[tasks_pb2.TaskOutputPiece]:
        """What a task, or the first one, has printed, piece by piece."""
        name = (task or await self.task()).name
        return [piece async for piece in self.service.tasks.ReadTaskOutput(tasks_pb2.ReadTaskOutputRequest(name=name))]


@dataclass
class Ended:
    """A playbook of one command that has ended."""

    flow: flows_pb2.Flow
    events: list[run_events_pb2.RunEvent]
    task: tasks_pb2.Task
    pieces: list[tasks_pb2.TaskOutputPiece]

    @property
    def status(self) -> str:
        return flows_pb2.Flow.Status.Name(self.flow.status).removeprefix("STATUS_")

    @property
    def reason(self) -> str:
        return tasks_pb2.TerminalReason.Name(self.task.terminal_reason).removeprefix("TERMINAL_REASON_")

    @property
    def output(self) -> Any:
        return next(json.loads(event.node_output.json) for event in self.events if event.HasField("node_output"))

    @property
    def settled(self) -> node_events_pb2.NodeSettled:
        return next(event.node_settled for event in self.events if event.HasField("node_settled"))

    def printed(self, stream: node_events_pb2.OutputStream.ValueType = STDOUT) -> bytes:
        return b"".join(piece.content for piece in self.pieces if piece.stream == stream)


@pytest.fixture
def commands() -> Callable[[Any], Commands]:
    """Playbooks of one command, on a service."""
    return Commands


class Signpost:
    """A named pipe in which a command says that it has come to a certain place: `echo up > signpost`."""

    def __init__(self, path: pathlib.Path) -> None:
        os.mkfifo(path)
        # Open for both, so that neither side ever waits for the other to open it.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    async def reached(self) -> None:
        """Returns as soon as a command has written a line."""
        loop, written = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._fd, written.set)
        try:
            await written.wait()
        finally:
            loop.remove_reader(self._fd)
        os.read(self._fd, 4096)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def signpost(tmp_path: pathlib.Path) -> Iterator[Signpost]:
    post = Signpost(tmp_path / "signpost")
    yield post
    post.close()


@pytest.fixture
async def workshop(serve: Any, hire: Any) -> Commands:
    """A service and an executor that runs its commands."""
    service = await serve()
    await hire(service, max_task_output_bytes=4096, kill_grace_seconds=0.2)
    return Commands(service)
