"""What is refused leaves nothing behind: a typed reason, the fields at fault, and every row of every table is as it was."""

import contextlib
import itertools
import json
import pathlib
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from perdure.runlog.instances import instance as parsed
from perdure.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    approvals_pb2,
    decisions_pb2,
    fact_events_pb2,
    flows_pb2,
    playbooks_pb2,
    run_effects_pb2,
    run_events_pb2,
    runs_pb2,
    server_pb2,
    sessions_pb2,
    tasks_pb2,
)

PROGRAM = pathlib.Path(sys.executable).with_name("perdure-server")
MIB = 1024 * 1024
numbers = itertools.count(1)

HEAD = {"version": "1.0.0", "title": "Work", "objective": "Do it"}
STEP = {"type": "function", "function": "noop", "effect": "none"}
COMMAND = {"type": "deterministic", "command": "true", "effect": "none"}
GATE = {"type": "approval", "prompt": "Go on?"}


@contextlib.contextmanager
def running_server(data_dir: pathlib.Path) -> Iterator[str]:
    """A control plane as a process of its own; gives its address."""
    command = [PROGRAM, "control-plane", "--port", "0", "--data-dir", data_dir, "--log-format", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if '"server.started"' in line:
                break
        reading = threading.Thread(target=process.stderr.read)
        reading.start()
        yield str(json.loads(line)["address"])
        process.terminate()
        reading.join()
    assert process.returncode == 0


@dataclass
class Refusal:
    """What a caller can read of a refused call."""

    code: str
    reason: str
    fields: list[str]
    metadata: dict[str, str]


@dataclass
class Desk:
    """A server, and refusals by it that are held against what its database has."""

    service: Any
    rows_in: Callable[[pathlib.Path], dict[str, tuple[int, str]]]

    async def refused(self, call: Callable[[], Awaitable[Any]]) -> Refusal:
        """What a call is refused for. It fails the test where the call is not refused, or changes what no denial does."""
        before = self.rows_in(self.service.data_dir)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        denied = {"audit_events"} if caught.value.code() is grpc.StatusCode.PERMISSION_DENIED else set()
        assert self.written_since(before) <= denied
        return refusal_of(caught.value)

    def written_since(self, before: dict[str, tuple[int, str]]) -> set[str]:
        return {table for table, rows in self.rows_in(self.service.data_dir).items() if rows != before[table]}

    async def create(self, *nodes: Any, **fields: Any) -> playbooks_pb2.PlaybookVersion:
        """Stores a playbook of its own id."""
        manifest = {**HEAD, "playbook_id": f"p{next(numbers)}", "nodes": nodes, **fields}
        document = playbooks_pb2.PlaybookDocument(text=json.dumps(manifest).encode())
        request = playbooks_pb2.CreatePlaybookVersionRequest(document=document)
        return await self.service.playbooks.CreatePlaybookVersion(request)

    async def publish(self, *nodes: Any, **fields: Any) -> playbooks_pb2.PlaybookVersion:
        """Stores and publishes one."""
        created = await self.create(*nodes, **fields)
        named = {"name": created.name, "digest": created.digest}
        request = playbooks_pb2.PublishPlaybookVersionRequest(**named, evidence=[{"kind": "review", "id": "test"}])
        return await self.service.playbooks.PublishPlaybookVersion(request)

    async def asked(self, version: playbooks_pb2.PlaybookVersion, **fields: Any) -> flows_pb2.StartFlowRequest:
        """A request to start a version, which is right but for the fields that a test gives."""
        session = await self.service.sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id="s"))
        whole = {"playbook_version": version.name, "digest": version.digest, "session": session.name}
        return flows_pb2.StartFlowRequest(**{**whole, "idempotency_key": f"k{next(numbers)}", **fields})

    async def start(self, version: playbooks_pb2.PlaybookVersion) -> flows_pb2.Flow:
        return await self.service.flows.StartFlow(await self.asked(version))

    async def approval(self, flow: flows_pb2.Flow, instance: str) -> approvals_pb2.Approval:
        """The approval that an attempt asks for, when the run waits for it."""
        names = []

        def asked_and_paused(recorded: run_events_pb2.RecordedEvent) -> bool:
            opened = recorded.event.wait_opened
            if recorded.event.HasField("wait_opened") and str(parsed(opened.instance)) == instance:
                names.append(f"approvals/{opened.approval.approval_id}")
            return bool(names) and recorded.event.HasField("run_paused")

        await self.service.until(flow, asked_and_paused)
        return await self.service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=names[0]))

    def deciding(self, name: str, token: str, word: str, **fields: Any) -> Callable[[], Awaitable[Any]]:
        kind = decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{word}")
        request = approvals_pb2.DecideApprovalRequest(name=name, token=token, decision=kind, **fields)
        return lambda: self.service.approvals.DecideApproval(request)


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)
    assert status is not None
    assert sum(detail.Unpack(info) for detail in status.details) == 1
    assert info.domain == "perdure"
    for detail in status.details:
        detail.Unpack(bad)
    fields = [violation.field for violation in bad.field_violations]
    return Refusal(error.code().name, info.reason, fields, dict(info.metadata))


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, pathlib.Path]]:
    data_dir = tmp_path_factory.mktemp("shared") / "data"
    with running_server(data_dir) as address:
        yield address, data_dir


@pytest.fixture
async def desk(shared_server: tuple[str, pathlib.Path], connect: Any, rows_in: Any) -> Desk:
    """A server for whom nobody works; tests share it."""
    return Desk(await connect(*shared_server), rows_in)


@pytest.fixture
async def staffed(tmp_path: pathlib.Path, connect: Any, hire: Any, stack: Any, rows_in: Any) -> AsyncIterator[Desk]:
    """A server of the test's own, for whom an executor works."""
    with running_server(tmp_path / "data") as address:
        service = await connect(address, tmp_path / "data")
        await hire(service)
        yield Desk(service, rows_in)
        await stack.aclose()


async def test_the_witness_of_the_rows_sees_one_that_changes(desk: Desk) -> None:
    created = await desk.create({"id": "a", **STEP})
    before = desk.rows_in(desk.service.data_dir)

    named = {"name": created.name, "digest": created.digest, "reason": "a mistake"}
    await desk.service.playbooks.RevokePlaybookVersion(playbooks_pb2.RevokePlaybookVersionRequest(**named))

    assert desk.written_since(before) == {"playbook_versions", "publication_changes", "audit_events"}


MANIFESTS = {
    "a cycle": ([{"id": "a", **STEP, "depends": ["b"]}, {"id": "b", **STEP, "depends": ["a"]}], ["nodes[0]"]),
    "an unknown inject_into": (
        [{"id": "a", **STEP, "on_failure": {"inject_into": "z"}}], ["nodes[0].on_failure.inject_into"]),
    "a duplicate id": ([{"id": "a", **STEP}, {"id": "a", **STEP}], ["nodes[1].id"]),
    "a map that does nothing": ([{"id": "a", "type": "map", "items": "x"}], ["nodes[0].node"]),
}  # fmt: skip


@pytest.mark.parametrize("what", MANIFESTS)
async def test_a_faulty_manifest_is_not_stored(desk: Desk, what: str) -> None:
    nodes, fields = MANIFESTS[what]

    refusal = await desk.refused(lambda: desk.create(*nodes))

    assert (refusal.code, refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", "PLAYBOOK_INVALID", fields)


async def test_a_version_that_is_stored_with_another_digest_is_not_replaced(desk: Desk) -> None:
    stored = await desk.create({"id": "a", **STEP}, playbook_id="taken")

    refusal = await desk.refused(lambda: desk.create({"id": "b", **STEP}, playbook_id="taken"))

    assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "VERSION_EXISTS")
    assert refusal.metadata["stored_digest"] == stored.digest


def metadata(**fields: Any) -> flows_pb2.FlowRequest:
    struct = Struct()
    struct.update(fields)
    return flows_pb2.FlowRequest(metadata=struct)


def given(content: bytes) -> flows_pb2.FlowRequest:
    return flows_pb2.FlowRequest(input=content)


STARTS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "a missing digest": ({"digest": ""}, "FIELD_INVALID", ["digest"]),
    "a wrong digest": ({"digest": "0" * 64}, "DIGEST_MISMATCH", ["digest"]),
    "a missing version": ({"playbook_version": ""}, "FIELD_INVALID", ["playbook_version"]),
    "an unknown version": ({"playbook_version": "playbooks/none/versions/1"}, "NOT_FOUND", []),
    "an unknown session": ({"session": "sessions/none"}, "NOT_FOUND", []),
    "no key": ({"idempotency_key": ""}, "FIELD_INVALID", ["idempotency_key"]),
    "the reserved metadata key": ({"request": metadata(perdure_flow=1)}, "FIELD_INVALID", ["request.metadata"]),
    "metadata that JSON does not have": ({"request": metadata(n=float("nan"))}, "FIELD_INVALID", ["request.metadata"]),
    "an input that is no JSON": ({"request": given(b"{")}, "FIELD_INVALID", ["request.input"]),
    "an input that is no object": ({"request": given(b"[1]")}, "FIELD_INVALID", ["request.input"]),
    "an input that JSON does not have": ({"request": given(b'{"a": NaN}')}, "FIELD_INVALID", ["request.input"]),
    "an input with half a character": ({"request": given(b'{"a": "\\ud800"}')}, "FIELD_INVALID", ["request.input"]),
    "an input in UTF-16": ({"request": given('{"a": 1}'.encode("utf-16"))}, "FIELD_INVALID", ["request.input"]),
    "an input that is too deep": (
        {"request": given(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}")}, "FIELD_INVALID", ["request.input"]),
    "an input against the schema": ({"request": given(b'{"who": 1}')}, "FIELD_INVALID", ["request.input.who"]),
    "an input of 2 MiB": ({"request": given(b" " * 2 * MIB + b"{}")}, "PAYLOAD_TOO_LARGE", ["request.input"]),
    "an input of 5 MiB": ({"request": given(b" " * 5 * MIB + b"{}")}, "PAYLOAD_TOO_LARGE", ["request"]),
}  # fmt: skip


@pytest.mark.parametrize("what", STARTS)
async def test_what_cannot_be_started_is_not_begun(desk: Desk, what: str) -> None:
    fields, reason, faulty = STARTS[what]
    version = await desk.publish({"id": "a", **STEP}, inputs={"properties": {"who": {"type": "string"}}})
    request = await desk.asked(version, **fields)

    refusal = await desk.refused(lambda: desk.service.flows.StartFlow(request))

    assert (refusal.reason, refusal.fields) == (reason, faulty)


async def test_a_schema_whose_check_would_never_end_is_refused_before_anything_is_started(desk: Desk) -> None:
    refusal = await desk.refused(lambda: desk.publish({"id": "a", **STEP}, inputs={"$ref": "#"}))

    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "PLAYBOOK_INVALID")
    assert refusal.fields == ["inputs"]


async def test_an_input_whose_check_would_take_too_long_is_refused(desk: Desk) -> None:
    deep = {"properties": {"next": {"anyOf": [{"$ref": "#"}, {"$ref": "#", "type": "object"}]}}, "type": "object"}
    request = await desk.asked(await desk.publish({"id": "a", **STEP}, inputs=deep))
    request.request.input = b'{"next":' * 60 + b"{}" + b"}" * 60

    refusal = await desk.refused(lambda: desk.service.flows.StartFlow(request))

    assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", ["request.input"])


async def test_a_draft_is_not_started(desk: Desk) -> None:
    request = await desk.asked(await desk.create({"id": "a", **STEP}))

    refusal = await desk.refused(lambda: desk.service.flows.StartFlow(request))

    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "PUBLICATION_STATE")
    assert refusal.metadata["publication"] == "DRAFT"


async def test_a_key_that_began_another_flow_begins_nothing(desk: Desk) -> None:
    version = await desk.publish({"id": "a", **STEP})
    request = await desk.asked(version)
    await desk.service.flows.StartFlow(request)
    request.priority = 3

    refusal = await desk.refused(lambda: desk.service.flows.StartFlow(request))

    assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert refusal.fields == ["idempotency_key"]


LISTS: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "playbooks": lambda s, page: s.playbooks.ListPlaybooks(playbooks_pb2.ListPlaybooksRequest(**page)),
    "flows": lambda s, page: s.flows.ListFlows(flows_pb2.ListFlowsRequest(**page)),
    "sessions": lambda s, page: s.sessions.ListSessions(sessions_pb2.ListSessionsRequest(**page)),
    "session events": lambda s, page: s.sessions.ListSessionEvents(
        sessions_pb2.ListSessionEventsRequest(name="sessions/s", **page)),
    "runs": lambda s, page: s.runs.ListRuns(runs_pb2.ListRunsRequest(**page)),
    "run events": lambda s, page: s.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name="runs/r", **page)),
    "checkpoints": lambda s, page: s.runs.ListCheckpoints(runs_pb2.ListCheckpointsRequest(name="runs/r", **page)),
    "effects": lambda s, page: s.runs.ListEffects(run_effects_pb2.ListEffectsRequest(name="runs/r", **page)),
    "approvals": lambda s, page: s.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest(**page)),
    "tasks": lambda s, page: s.tasks.ListTasks(tasks_pb2.ListTasksRequest(parent="sessions/s", **page)),
    "agents": lambda s, page: agents_pb2_grpc.AgentServiceStub(s.channel).ListAgents(
        agents_pb2.ListAgentsRequest(**page)),
    "executors": lambda s, page: s.server.ListExecutors(server_pb2.ListExecutorsRequest(**page)),
}  # fmt: skip


@pytest.mark.parametrize("of", LISTS)
@pytest.mark.parametrize("token", ["next please", "AAAA", "AAAAAAAAAAAAAAAAAAAAAHsxMjM0", "é"])
async def test_an_unknown_page_token_is_refused(desk: Desk, of: str, token: str) -> None:
    refusal = await desk.refused(lambda: LISTS[of](desk.service, {"page_token": token}))

    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    assert refusal.fields == ["page_token"]


@pytest.mark.parametrize("of", LISTS)
async def test_a_negative_page_size_is_refused(desk: Desk, of: str) -> None:
    refusal = await desk.refused(lambda: LISTS[of](desk.service, {"page_size": -1}))

    assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", ["page_size"])


NEWER: dict[str, tuple[Callable[[Any], Awaitable[Any]], str]] = {
    "decision": (
        lambda s: s.approvals.DecideApproval(
            approvals_pb2.DecideApprovalRequest(name="approvals/a", token="t", decision=99)), "decision"),
    "publication": (
        lambda s: s.playbooks.PublishPlaybookVersion(
            playbooks_pb2.PublishPlaybookVersionRequest(name="playbooks/p/versions/1", publication=99)), "publication"),
    "resolution": (
        lambda s: s.runs.ResolveEffect(
            runs_pb2.ResolveEffectRequest(name="runs/r", instance="a:1#1", resolution=99)), "resolution"),
    "state of runs": (lambda s: s.runs.ListRuns(runs_pb2.ListRunsRequest(states=[99])), "states"),
    "state of approvals": (
        lambda s: s.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest(states=[99])), "states"),
}  # fmt: skip


@pytest.mark.parametrize("what", NEWER)
async def test_a_word_that_only_a_newer_client_knows_is_refused(desk: Desk, what: str) -> None:
    call, field = NEWER[what]

    refusal = await desk.refused(lambda: call(desk.service))

    assert (refusal.code, refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", "FIELD_INVALID", [field])


async def test_an_output_of_5_mib_of_an_operator_is_refused(desk: Desk) -> None:
    run = (await desk.start(await desk.publish({"id": "a", **STEP}))).root_run

    def resolving(size: int) -> Callable[[], Awaitable[Any]]:
        output = b'{"a": "' + b"x" * size + b'"}'
        request = runs_pb2.ResolveEffectRequest(
            name=run, instance="a:1#1", resolution=fact_events_pb2.RESOLUTION_KIND_DONE, output=output
        )
        return lambda: desk.service.runs.ResolveEffect(request)

    whole, output = await desk.refused(resolving(5 * MIB)), await desk.refused(resolving(2 * MIB))

    assert (whole.code, whole.reason, whole.fields) == ("RESOURCE_EXHAUSTED", "PAYLOAD_TOO_LARGE", ["request"])
    assert (output.reason, output.fields) == ("PAYLOAD_TOO_LARGE", ["output"])
    assert int(output.metadata["bytes"]) > int(output.metadata["limit_bytes"]) == MIB


async def test_a_token_of_another_run_decides_nothing(staffed: Desk) -> None:
    version = await staffed.publish({"id": "gate", **GATE})
    flows = [await staffed.start(version), await staffed.start(version)]
    mine, other = [await staffed.approval(flow, "gate:1#1") for flow in flows]

    refusal = await staffed.refused(staffed.deciding(mine.name, other.token, "APPROVED"))

    assert (refusal.code, refusal.reason, refusal.fields) == ("PERMISSION_DENIED", "TOKEN_MISMATCH", ["token"])


async def test_a_token_of_before_a_jump_decides_nothing_after_it(staffed: Desk) -> None:
    version = await staffed.publish(
        {"id": "draft", **COMMAND}, {"id": "gate", **GATE, "on_failure": {"inject_into": "draft"}}
    )
    flow = await staffed.start(version)
    first = await staffed.approval(flow, "gate:1#1")
    await staffed.deciding(first.name, first.token, "REJECTED", reason="again, please")()
    second = await staffed.approval(flow, "gate:2#1")

    old_on_new = await staffed.refused(staffed.deciding(second.name, first.token, "APPROVED"))
    old_on_old = await staffed.refused(staffed.deciding(first.name, first.token, "APPROVED"))

    assert (old_on_new.reason, old_on_new.fields) == ("TOKEN_MISMATCH", ["token"])
    assert (old_on_old.code, old_on_old.reason) == ("FAILED_PRECONDITION", "APPROVAL_DECIDED")


async def test_a_second_decision_changes_nothing(staffed: Desk) -> None:
    flow = await staffed.start(await staffed.publish({"id": "gate", **GATE}))
    asked = await staffed.approval(flow, "gate:1#1")
    await staffed.deciding(asked.name, asked.token, "APPROVED")()
    await staffed.service.settled(flow)

    refusal = await staffed.refused(staffed.deciding(asked.name, asked.token, "REJECTED", reason="no"))

    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "APPROVAL_DECIDED")
    assert refusal.metadata["approval"] == asked.name
