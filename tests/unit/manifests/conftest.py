"""Manifests, from the smallest that are valid to whatever a test changes in them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from perdure.v1 import plans_pb2
from perdure_control_plane.manifests.review import Review, review

HEAD: dict[str, Any] = {
    "playbook_id": "release",
    "version": "1.0.0",
    "title": "Release",
    "objective": "Ship it",
    "acceptance_criteria": ["it runs"],
}

Reviewed = Callable[..., Review]


def _with(head: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**head, **fields}.items() if value is not None}


@pytest.fixture
def reviewed() -> Reviewed:
    """Reviews the smallest manifest with other fields; None leaves one out."""

    def submit(**fields: Any) -> Review:
        return review(json.dumps(_with(HEAD, fields)).encode())

    return submit


@pytest.fixture
def found(reviewed: Reviewed) -> Callable[..., list[tuple[str, str]]]:
    """Path and code of every fault of such a manifest."""

    def faults(**fields: Any) -> list[tuple[str, str]]:
        return [(fault.path, fault.code) for fault in reviewed(**fields).errors]

    return faults


@pytest.fixture
def plan_of(reviewed: Reviewed) -> Callable[..., plans_pb2.Plan]:
    """The plan of such a manifest."""

    def compiled(**fields: Any) -> plans_pb2.Plan:
        result = reviewed(**fields)
        assert result.plan is not None, result.errors
        return result.plan

    return compiled


@pytest.fixture
def node_of(plan_of: Callable[..., plans_pb2.Plan]) -> Callable[..., plans_pb2.PlanNode]:
    """The one node of a playbook, compiled."""

    def compiled(**fields: Any) -> plans_pb2.PlanNode:
        fields = {"id": "work", "type": "function", **fields}
        if fields["type"] == "function":
            fields.setdefault("function", "do")
        return plan_of(nodes=[fields]).nodes[0]

    return compiled


REVIEWER = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), int(sys.argv[1])))
from perdure_control_plane.manifests.review import review
for line in sys.stdin.buffer:
    result = review(sys.stdin.buffer.read(int(line)))
    answer = [fault.code for fault in result.errors]
    assert (result.plan is None) == bool(answer)
    print(json.dumps(answer), flush=True)
"""
SOON = 10
"""Seconds of a processor that a review and the start of its process may take together; then the process is ended."""


@pytest.fixture
async def reviewed_apart() -> AsyncIterator[Callable[[str], Awaitable[list[str]]]]:
    """Reviews a text in a process of its own, which may run out of stack or time, and gives the codes of its faults."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", REVIEWER, str(SOON), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    async def submit(text: str) -> list[str]:
        document = text.encode()
        stdin.write(b"%d\n%b" % (len(document), document))
        answer = await stdout.readline()
        assert answer, f"the process ended with {await process.wait()}"
        return list(json.loads(answer))

    yield submit
    if process.returncode is None:
        process.kill()
    await process.wait()
