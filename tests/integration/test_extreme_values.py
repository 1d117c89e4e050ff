"""Whatever a field holds, its call is answered, or refused for a reason that a caller can act on."""

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from perdure.v1 import policies_pb2, runs_pb2
from perdure_control_plane.api.mount import SERVICES

pytestmark = pytest.mark.asyncio(loop_scope="module")

MANIFEST = {
    "playbook_id": "p",
    "version": "1",
    "title": "Work",
    "objective": "Do it",
    "nodes": [{"id": "a", "type": "function", "function": "noop", "effect": "none"}],
}
MIB = 1024 * 1024
LONG = "x" * 100_000
TEXTS = ["", LONG, "\0", "runs/../../etc", "naïve", "a\nb", "-", "%s"]
NUMBERS = [-1, 2**31 - 1, -(2**31)]
LARGE_NUMBERS = [2**63 - 1, -(2**63)]
BYTES = [b"", b"\xff", b"\0", b"[" * 100_000, b'"' + LONG.encode() + b'"']
CPP = FieldDescriptor
EXTREMES: dict[int, list[Any]] = {
    CPP.TYPE_STRING: TEXTS,
    CPP.TYPE_BYTES: BYTES,
    CPP.TYPE_ENUM: [0, -1, 99, 2**31 - 1],
    CPP.TYPE_INT32: NUMBERS,
    CPP.TYPE_INT64: NUMBERS + LARGE_NUMBERS,
    CPP.TYPE_BOOL: [True],
    CPP.TYPE_DOUBLE: [float("nan"), float("inf"), 1e308],
}


def values_of(field: FieldDescriptor, depth: int) -> Iterator[Any]:
    """What a field may be set to that hardly anybody would."""
    if field.type != CPP.TYPE_MESSAGE:
        yield from EXTREMES[field.type]
        return
    message = GetMessageClass(field.message_type)
    yield message()
    for inner in field.message_type.fields if depth else ():
        for value in values_of(inner, depth - 1):
            yield with_field(message(), inner, value)


def with_field(message: Message, field: FieldDescriptor, value: Any) -> Message:
    """A copy of a message in which a field holds a value."""
    changed = type(message)()
    changed.CopyFrom(message)
    changed.ClearField(field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        inner = value.value if field.message_type.fields_by_name["value"].message_type else None
        if inner is not None:
            getattr(changed, field.name)[value.key].CopyFrom(inner)
    elif field.is_repeated:
        getattr(changed, field.name).extend([value] * 3)
    elif field.message_type is not None:
        getattr(changed, field.name).CopyFrom(value)
    else:
        setattr(changed, field.name, value)
    return changed


@dataclass
class Requester:
    """Requests that a server would take, but for what a test changes of them; each is about things of its own."""

    service: Any
    count: int = 0

    async def request(self, method: MethodDescriptor) -> Message:
        """One for a method."""
        self.count += 1
        given: dict[str, Any] = {}
        if method.name in READY:
            given = await READY[method.name](self, f"k{self.count}")
        return ParseDict(given, GetMessageClass(method.input_type)())

    async def version(self, playbook: str) -> dict[str, Any]:
        """A version that is published."""
        version = await self.service.publish(json.dumps(MANIFEST | {"playbook_id": playbook}))
        return {"name": version.name, "digest": version.digest}

    async def playbook(self, playbook: str) -> dict[str, Any]:
        await self.version(playbook)
        return {"name": f"playbooks/{playbook}"}

    async def start(self, playbook: str) -> dict[str, Any]:
        version = await self.version(playbook)
        ids = {"session": "sessions/s", "idempotency_key": playbook}
        return {"playbook_version": version["name"], "digest": version["digest"], **ids}

    async def flow(self, playbook: str) -> dict[str, Any]:
        flow = await self.service.start(json.dumps(MANIFEST | {"playbook_id": playbook}), key=playbook)
        return {"name": flow.name, "run": flow.root_run}

    async def run(self, playbook: str) -> dict[str, Any]:
        return {"name": (await self.flow(playbook))["run"]}

    async def interrupted(self, playbook: str) -> dict[str, Any]:
        run = await self.run(playbook)
        stopped = await self.service.runs.InterruptRun(runs_pb2.InterruptRunRequest(**run))
        return run | {"answers_sequence": stopped.ended_sequence}


async def only_flow(requester: Requester, key: str) -> dict[str, Any]:
    return {"name": (await requester.flow(key))["name"]}


async def session(requester: Requester, key: str) -> dict[str, Any]:
    return {"name": "sessions/s"}


async def evidenced(requester: Requester, key: str) -> dict[str, Any]:
    return await requester.version(key) | {"evidence": [{"kind": "review", "id": "R"}]}


async def reasoned(requester: Requester, key: str) -> dict[str, Any]:
    return await requester.version(key) | {"reason": "a mistake"}


async def only_version(requester: Requester, key: str) -> dict[str, Any]:
    return {"name": (await requester.version(key))["name"]}


async def resolved(requester: Requester, key: str) -> dict[str, Any]:
    return await requester.run(key) | {"instance": "a:1#1", "resolution": 1}


async def decided(requester: Requester, key: str) -> dict[str, Any]:
    return {"name": "approvals/a", "token": "t", "decision": 1}


async def tasks(requester: Requester, key: str) -> dict[str, Any]:
    return {"parent": "sessions/s"}


READY: dict[str, Callable[[Requester, str], Awaitable[dict[str, Any]]]] = {
    "PublishPlaybookVersion": evidenced,
    "RevokePlaybookVersion": reasoned,
    "GetPlaybook": Requester.playbook,
    "GetPlaybookVersion": only_version,
    "StartFlow": Requester.start,
    "GetFlow": only_flow,
    "CancelFlow": only_flow,
    "WatchFlow": only_flow,
    "GetSession": session,
    "ListSessionEvents": session,
    "GetRun": Requester.run,
    "ListRunEvents": Requester.run,
    "ListCheckpoints": Requester.run,
    "ListEffects": Requester.run,
    "GetRunPlan": Requester.run,
    "GetRecovery": Requester.run,
    "WatchRun": Requester.run,
    "CancelRun": Requester.run,
    "InterruptRun": Requester.run,
    "ContinueRun": Requester.interrupted,
    "ResolveEffect": resolved,
    "DecideApproval": decided,
    "ListTasks": tasks,
}
"""What makes a request that a method would take, where an empty one would not get far."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def requester(shared_service: Any) -> Requester:
    await shared_service.start(json.dumps(MANIFEST))
    return Requester(shared_service)


async def answer(channel: grpc.aio.Channel, method: MethodDescriptor, request: Message) -> None:
    """The first answer of a call. Raises what it is refused with."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    response = GetMessageClass(method.output_type)
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = kind(path, type(request).SerializeToString, response.FromString)(request)
    if not method.server_streaming:
        await call
        return
    async for _ in call:
        break
    call.cancel()


def reason(error: grpc.aio.AioRpcError) -> str:
    """The reason of the one ErrorInfo that a refusal has."""
    status = rpc_status.from_call(error)
    infos = []
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            infos.append(info)
    return infos[0].reason if len(infos) == 1 and infos[0].domain == "perdure" else "NONE"


def fields(error: grpc.aio.AioRpcError) -> list[str]:
    """The fields that a refusal names."""
    bad, status = error_details_pb2.BadRequest(), rpc_status.from_call(error)
    assert status is not None
    assert sum(detail.Unpack(bad) for detail in status.details) == 1
    return [violation.field for violation in bad.field_violations]


AFTERWARDS: dict[str, Message] = {
    "UpdatePolicy": policies_pb2.UpdatePolicyRequest(
        block_warnings=False,
        blocked_warnings=policies_pb2.WarningCodes(),
        require_review=False,
        require_approval=False,
    )
}
"""What undoes a method that the requests of all others would be refused after."""

METHODS = [method for service in SERVICES for method in service.methods if not method.client_streaming]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_no_value_of_a_field_makes_a_call_fail_without_a_reason(
    requester: Requester, method: MethodDescriptor
) -> None:
    unexplained = []
    for field in method.input_type.fields:
        for value in values_of(field, depth=4):
            request = with_field(await requester.request(method), field, value)
            try:
                await answer(requester.service.channel, method, request)
            except grpc.aio.AioRpcError as error:
                if reason(error) in ("NONE", "INTERNAL"):
                    unexplained.append((field.name, str(value)[:80], error.details()))
    if method.name in AFTERWARDS:
        await answer(requester.service.channel, method, AFTERWARDS[method.name])

    assert unexplained == []


async def test_a_message_that_is_none_is_refused_with_a_reason(requester: Requester) -> None:
    call = requester.service.channel.unary_unary("/perdure.v1.RunService/GetRun", bytes, bytes)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff\xff")

    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "PROTOCOL_VIOLATION")


async def test_a_stream_of_what_are_no_messages_is_refused_with_a_reason(requester: Requester) -> None:
    call = requester.service.channel.stream_stream("/perdure.v1.ExecutionService/Work", bytes, bytes)(
        iter([b"\xff\xff"])
    )

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()

    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "PROTOCOL_VIOLATION")


def flow_request(**fields: Any) -> dict[str, Any]:
    return {"request": fields}


TOO_LARGE: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "a text": ("StartFlow", flow_request(content="x" * 2 * MIB), "PAYLOAD_TOO_LARGE", "request.content"),
    "metadata": ("StartFlow", flow_request(metadata={"a": "x" * 2 * MIB}), "PAYLOAD_TOO_LARGE", "request.metadata"),
    "a source": (
        "StartFlow", flow_request(source={"actor_id": LONG}), "FIELD_INVALID", "request.source.actor_id"),
    "a time": ("StartFlow", {"timeout": "40000000s"}, "FIELD_INVALID", "timeout"),
    "a time to go on": ("ContinueRun", {"timeout": "40000000s"}, "FIELD_INVALID", "timeout"),
    "more attempts": ("ContinueRun", {"extra_attempts": 101}, "FIELD_INVALID", "extra_attempts"),
    "a description": (
        "PublishPlaybookVersion", {"evidence": [{"kind": "a", "id": "b", "description": LONG}]},
        "FIELD_INVALID", "evidence[0].description"),
    "an id of evidence": (
        "RevokePlaybookVersion", {"evidence": [{"kind": "a", "id": "b"}, {"kind": "a", "id": LONG}]},
        "FIELD_INVALID", "evidence[1].id"),
    "too much evidence": (
        "PublishPlaybookVersion", {"evidence": [{"kind": "a", "id": "b"}] * 101}, "FIELD_INVALID", "evidence"),
    "a reason": ("CancelRun", {"reason": LONG}, "FIELD_INVALID", "reason"),
    "a sequence below zero": ("WatchRun", {"after_sequence": -1}, "FIELD_INVALID", "after_sequence"),
    "a page from below zero": ("ListRunEvents", {"after_sequence": -1}, "FIELD_INVALID", "after_sequence"),
    "a report below zero": ("ResolveEffect", {"report_sequence": -1}, "FIELD_INVALID", "report_sequence"),
    "a cursor below zero": (
        "WatchFlow", {"cursors": [{"run": "runs/a"}, {"run": "runs/b", "sequence": -1}]},
        "FIELD_INVALID", "cursors[1].sequence"),
    "a cursor of nothing": ("WatchFlow", {"cursors": [{"sequence": 1}]}, "FIELD_INVALID", "cursors[0].run"),
}  # fmt: skip


@pytest.mark.parametrize("what", TOO_LARGE)
async def test_what_is_too_large_or_too_small_is_named(requester: Requester, what: str) -> None:
    name, change, wanted, field = TOO_LARGE[what]
    method = next(method for method in METHODS if method.name == name)
    request = await requester.request(method)
    for changed in change:
        if changed != "request":
            request.ClearField(changed)
    ParseDict(change, request)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer(requester.service.channel, method, request)

    assert (reason(caught.value), fields(caught.value)) == (wanted, [field])
