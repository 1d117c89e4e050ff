"""A server that asks callers who they are: its executors, its streams, and what it keeps to itself."""

import asyncio
import contextlib
import pathlib
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from perdure.client import CallFailed, Client
from perdure.keys import read_key_file
from perdure.v1.approvals_pb2 import DecideApprovalRequest, GetApprovalRequest, ListApprovalsRequest
from perdure.v1.decisions_pb2 import DECISION_KIND_APPROVED
from perdure.v1.flows_pb2 import Flow, ListFlowsRequest, StartFlowRequest
from perdure.v1.identities_pb2 import WhoAmIRequest
from perdure.v1.keys_pb2 import CreateKeyRequest, RevokeKeyRequest, RotateKeyRequest
from perdure.v1.playbooks_pb2 import (
    CreatePlaybookVersionRequest,
    Evidence,
    PlaybookDocument,
    PublishPlaybookVersionRequest,
)
from perdure.v1.roles_pb2 import ROLE_EXECUTOR, ROLE_OPERATOR, ROLE_REVIEWER, ROLE_VIEWER, Role
from perdure.v1.server_pb2 import AUTHENTICATION_REQUIRED, GetServerInfoRequest
from perdure.v1.sessions_pb2 import CreateSessionRequest
from perdure_control_plane.domain.roles import Role as DomainRole
from perdure_services.caller_keys import NoKeys, Wanted, new_key
from perdure_services.settings import SettingsInvalid, load_control_plane, load_executor

GATED = """
playbook_id: gated
version: 1.0.0
title: A gate
objective: Ask
nodes:
  - {id: gate, type: approval, prompt: go on?}
"""

KeyFor = Callable[..., Awaitable[str]]


@pytest.fixture
async def root(data_dir: pathlib.Path) -> str:
    """An admin's key, made before the server runs."""
    settings = load_control_plane(None, {"data_dir": data_dir})
    return (await new_key(settings, Wanted("root", DomainRole.ADMIN, 0)))[1]


@pytest.fixture
async def guarded(serve: Any, data_dir: pathlib.Path, root: str) -> Any:
    return await serve(data_dir=data_dir, authentication="required")


@pytest.fixture
async def connect_as(stack: Any, guarded: Any) -> Callable[[str], Awaitable[Client]]:
    """A client that gives a key."""

    async def connect(key: str) -> Client:
        client = Client(guarded.address, key=key, patience=timedelta(seconds=5))
        return await stack.enter_async_context(client)

    return connect


@pytest.fixture
def key_for(connect_as: Any, root: str) -> KeyFor:
    """Makes keys, by the admin's."""

    async def make(name: str, role: Role.ValueType, **fields: Any) -> str:
        admin = await connect_as(root)
        made = await admin.keys.CreateKey(CreateKeyRequest(key=name, role=role, **fields))
        return str(made.text)

    return make


async def start(author: Client, operator: Client, manifest: str = GATED) -> Flow:
    """One publishes a playbook, and another starts it."""
    document = PlaybookDocument(text=manifest.encode())
    version = await author.playbooks.CreatePlaybookVersion(CreatePlaybookVersionRequest(document=document))
    await author.playbooks.PublishPlaybookVersion(
        PublishPlaybookVersionRequest(
            name=version.name, digest=version.digest, evidence=[Evidence(kind="review", id="test")]
        )
    )
    await operator.sessions.CreateSession(CreateSessionRequest(session_id="s"))
    return await operator.flows.StartFlow(
        StartFlowRequest(
            playbook_version=version.name, digest=version.digest, session="sessions/s", idempotency_key="k"
        )
    )


async def settled(client: Client, flow: Flow) -> Flow:
    last = flow
    async for item in client.watch_flow(flow.name):
        last = item if isinstance(item, Flow) else last
    return last


async def asked(client: Client, flow: Flow) -> str:
    """Follows a flow until it asks somebody, and returns what it asks."""
    async for item in client.watch_flow(flow.name):
        if isinstance(item, Flow) and item.status == Flow.STATUS_WAITING:
            break
    listed = await client.approvals.ListApprovals(ListApprovalsRequest(flow=flow.name))
    return str(listed.approvals[0].name)


async def test_what_one_starts_another_decides_and_both_are_named(
    guarded: Any, hire: Any, connect_as: Any, key_for: KeyFor, root: str
) -> None:
    await hire(guarded, key=await key_for("worker", ROLE_EXECUTOR))
    operator = await connect_as(await key_for("ops", ROLE_OPERATOR))
    reviewer = await connect_as(await key_for("eve", ROLE_REVIEWER))
    flow = await start(await connect_as(root), operator)
    question = GetApprovalRequest(name=await asked(operator, flow))
    without_token = await operator.approvals.GetApproval(question)
    approval = await reviewer.approvals.GetApproval(question)
    decision = DecideApprovalRequest(name=approval.name, decision=DECISION_KIND_APPROVED, token=approval.token)
    inboxes = [
        [listed.name for listed in (await who.approvals.ListApprovals(ListApprovalsRequest(mine=True))).approvals]
        for who in (operator, reviewer)
    ]

    with pytest.raises(CallFailed) as refused:
        await operator.approvals.DecideApproval(decision)
    decided = await reviewer.approvals.DecideApproval(decision)
    ended = await settled(operator, flow)

    assert inboxes == [[], [approval.name]]
    assert (without_token.subject, without_token.token) == (approval.subject, "")
    assert refused.value.reason == "SCOPE_MISSING"
    assert dict(refused.value.metadata) == {"scope": "APPROVALS_DECIDE", "role": "OPERATOR"}
    assert (decided.decider, decided.authenticated) == ("keys/eve", True)
    assert ended.status == Flow.STATUS_SUCCEEDED


async def test_a_stream_ends_when_the_key_that_opened_it_is_revoked(
    guarded: Any, hire: Any, connect_as: Any, key_for: KeyFor, root: str
) -> None:
    text = await key_for("worker", ROLE_EXECUTOR)
    worker = await hire(guarded, key=text)
    watcher = await connect_as(await key_for("ops", ROLE_OPERATOR))
    admin = await connect_as(root)
    flow = await start(admin, watcher)
    await asked(watcher, flow)
    watching = asyncio.create_task(settled(watcher, flow))

    await admin.keys.RevokeKey(RevokeKeyRequest(name="keys/worker"))
    await admin.keys.RevokeKey(RevokeKeyRequest(name="keys/ops"))

    with pytest.raises(CallFailed) as ended:
        await watching
    assert (ended.value.reason, ended.value.metadata["cause"]) == ("UNAUTHENTICATED", "revoked")
    while worker.connected.is_set():  # noqa: ASYNC110  # nothing tells of the end of a connection
        await asyncio.sleep(0.02)


async def test_an_executor_reads_its_key_again_when_it_connects_again(
    guarded: Any, hire: Any, connect_as: Any, key_for: KeyFor, root: str, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(await key_for("worker", ROLE_EXECUTOR) + "\n")
    worker = await hire(guarded, key_file=file)
    admin = await connect_as(root)

    rotated = await admin.keys.RotateKey(RotateKeyRequest(name="keys/worker", overlap=timedelta(0)))
    file.write_text(rotated.text)

    while worker.connected.is_set():  # noqa: ASYNC110  # nothing tells of the end of a connection
        await asyncio.sleep(0.02)
    await worker.connected.wait()
    assert read_key_file(file) == rotated.text


async def test_a_server_without_any_good_key_does_not_start_and_says_how_to_make_one(
    serve: Any, data_dir: pathlib.Path
) -> None:
    with pytest.raises(NoKeys, match="perdure-server keys create NAME --role admin"):
        await serve(data_dir=data_dir, authentication="required")


async def test_health_is_told_to_everybody_and_who_one_is_to_everybody_who_is_known(
    guarded: Any, connect_as: Any, key_for: KeyFor, root: str
) -> None:
    nobody, admin = await connect_as(""), await connect_as(root)
    worker = await connect_as(await key_for("worker", ROLE_EXECUTOR, time_to_live=timedelta(hours=1)))

    well = await nobody.health.Check(HealthCheckRequest())
    with pytest.raises(CallFailed) as refused:
        await nobody.identity.WhoAmI(WhoAmIRequest())
    who = await worker.identity.WhoAmI(WhoAmIRequest())

    assert well.status == HealthCheckResponse.SERVING
    assert (refused.value.reason, refused.value.code) == ("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED)
    assert (who.principal, who.authenticated, who.role) == ("keys/worker", True, ROLE_EXECUTOR)
    assert who.HasField("expire_time")
    info = await admin.server.GetServerInfo(GetServerInfoRequest())
    assert info.authentication == AUTHENTICATION_REQUIRED


async def test_calls_that_are_not_let_in_are_written_down_with_who_made_them(
    guarded: Any, connect_as: Any, key_for: KeyFor
) -> None:
    viewer = await connect_as(await key_for("eve", ROLE_VIEWER))
    for client, request in ((await connect_as(""), CreateSessionRequest()), (viewer, CreateSessionRequest())):
        with pytest.raises(CallFailed):
            await client.sessions.CreateSession(request)

    with contextlib.closing(sqlite3.connect(f"file:{guarded.data_dir / 'perdure.db'}?mode=ro", uri=True)) as database:
        query = "SELECT principal, authenticated, reason, method, peer FROM audit_events WHERE type = 'auth.denied'"
        denied = sorted(database.execute(query))

    method = "/perdure.v1.SessionService/CreateSession"
    assert [row[:4] for row in denied] == [
        ("anonymous", 0, "UNAUTHENTICATED", method),
        ("keys/eve", 1, "SCOPE_MISSING", method),
    ]
    assert all(row[4].startswith("ipv4:127.0.0.1:") for row in denied)


async def test_a_denial_says_what_was_asked_about_unless_it_is_the_text_of_a_key(
    guarded: Any, connect_as: Any, key_for: KeyFor
) -> None:
    text = await key_for("eve", ROLE_VIEWER)
    viewer = await connect_as(text)
    for name in ("keys/root", f"keys/{text}", f"keys/x{text[:-1].upper()}", "keys/no key"):
        with pytest.raises(CallFailed):
            await viewer.keys.RevokeKey(RevokeKeyRequest(name=name, request_id=text))

    with contextlib.closing(sqlite3.connect(f"file:{guarded.data_dir / 'perdure.db'}?mode=ro", uri=True)) as database:
        denied = list(database.execute("SELECT * FROM audit_events WHERE type = 'auth.denied'"))

    assert {row[7] for row in denied} == {"", "keys/root"}
    assert text[-40:] not in repr(denied).lower()


async def test_on_an_open_server_a_key_says_nothing(serve: Any, stack: Any) -> None:
    service = await serve()
    client = await stack.enter_async_context(Client(service.address, key="whatever-it-is"))

    who = await client.identity.WhoAmI(WhoAmIRequest())
    flows = await client.flows.ListFlows(ListFlowsRequest())

    assert (who.principal, who.authenticated, who.role) == ("anonymous", False, 0)
    assert not flows.flows


def test_an_executor_has_one_key(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"^key: is given, and key_file as well"):
        load_executor(None, {"key": "a" * 20, "key_file": tmp_path / "key"})
