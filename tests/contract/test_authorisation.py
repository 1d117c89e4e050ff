"""Who may call what: every RPC of every service, against every role and against nobody, over a real connection."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc.aio
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from perdure.client.channel import proxy_options
from perdure.keys import key_metadata
from perdure.v1 import roles_pb2, scopes_pb2
from perdure_control_plane.api.mount import SERVICES
from perdure_control_plane.domain.roles import Role, Scope
from perdure_services.caller_keys import Wanted, new_key
from perdure_services.control_plane import control_plane
from perdure_services.settings import load_control_plane

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEES = "admin author operator reviewer service viewer"
STARTS = "admin operator service"

ALLOWED: Final = {
    "PlaybookService": {
        "ValidatePlaybook": SEES,
        "ConvertPlaybook": SEES,
        "CreatePlaybookVersion": "admin author",
        "PublishPlaybookVersion": "admin author",
        "RevokePlaybookVersion": "admin author",
        "GetPlaybook": SEES,
        "GetPlaybookVersion": SEES,
        "ListPlaybooks": SEES,
    },
    "FlowService": {
        "StartFlow": STARTS,
        "GetFlow": SEES,
        "ListFlows": SEES,
        "PauseFlow": STARTS,
        "ResumeFlow": STARTS,
        "CancelFlow": STARTS,
        "WatchFlow": SEES,
    },
    "SessionService": {
        "CreateSession": STARTS,
        "GetSession": SEES,
        "ListSessions": SEES,
        "ListSessionEvents": SEES,
    },
    "RunService": {
        "GetRun": SEES,
        "ListRuns": SEES,
        "ListRunEvents": SEES,
        "ListCheckpoints": SEES,
        "ListEffects": SEES,
        "GetRunPlan": SEES,
        "GetRecovery": SEES,
        "ExplainRun": SEES,
        "ContinueRun": STARTS,
        "ResolveEffect": STARTS,
        "PauseRun": STARTS,
        "ResumeRun": STARTS,
        "CancelRun": STARTS,
        "InterruptRun": STARTS,
        "WatchRun": SEES,
    },
    "InboxService": {"SignalRun": STARTS, "ListInbox": SEES},
    "ApprovalService": {
        "GetApproval": SEES,
        "ListApprovals": SEES,
        "WatchApprovals": SEES,
        "DecideApproval": "admin reviewer",
        "DecideApprovals": "admin reviewer",
        "DelegateApproval": "admin reviewer",
        "WithdrawApproval": "admin operator service",
        "CommentApproval": "admin author operator reviewer service",
    },
    "WebhookService": {
        "ListWebhooks": "admin operator",
        "ListWebhookDeliveries": "admin operator",
        "RetryWebhookDelivery": "admin",
        "DropWebhookDelivery": "admin",
    },
    "TaskService": {"GetTask": SEES, "ListTasks": SEES, "ReadTaskOutput": SEES},
    "ScheduleService": {
        "CreateSchedule": STARTS,
        "GetSchedule": SEES,
        "ListSchedules": SEES,
        "DeleteSchedule": STARTS,
        "PauseSchedule": STARTS,
        "ResumeSchedule": STARTS,
        "TriggerSchedule": STARTS,
        "ListFirings": SEES,
    },
    "QueueService": {"GetQueue": SEES, "ListQueues": SEES, "UpdateQueue": "admin operator"},
    "AgentService": {"GetAgent": SEES, "ListAgents": SEES},
    "PolicyService": {"GetPolicy": SEES, "UpdatePolicy": "admin"},
    "CredentialService": {"GetCredentialInventory": "admin operator"},
    "AuditService": {
        "ListAuditEvents": "admin operator",
        "ExportAuditEvents": "admin operator",
        "GetAuditHead": "admin operator",
    },
    "ServerService": {"GetServerInfo": SEES, "ListExecutors": SEES},
    "KeyService": {
        "CreateKey": "admin",
        "GetKey": "admin",
        "ListKeys": "admin",
        "RotateKey": "admin",
        "RevokeKey": "admin",
    },
    "IdentityService": {"WhoAmI": f"{SEES} executor"},
    "ExecutionService": {"Work": "admin executor"},
}
"""Every call, and the roles that may make it."""

METHODS = [(service, method) for service in SERVICES for method in service.methods]
ROLES = [*(role.value.lower() for role in Role), "nobody"]

each_method = pytest.mark.parametrize(("service", "method"), METHODS, ids=lambda one: one.name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[grpc.aio.Channel, dict[str, str]]]:
    """A server that asks who calls, and a key for each role."""
    flags = {"port": 0, "drain_notice_seconds": 0, "data_dir": tmp_path_factory.mktemp("guarded")}
    settings = load_control_plane(None, {**flags, "authentication": "required"})
    keys = {role.value.lower(): (await new_key(settings, Wanted(f"a-{role}", role, 0)))[1] for role in Role}
    async with (
        control_plane(settings, asyncio.Event()) as address,
        grpc.aio.insecure_channel(address, options=proxy_options(address)) as channel,
    ):
        yield channel, keys


async def refusal(channel: grpc.aio.Channel, service: Any, method: Any, key: str) -> dict[str, str]:
    """Reason, code and metadata for which an empty request is refused; empty where it is answered."""
    path, metadata = f"/{service.full_name}/{method.name}", key_metadata(key)
    request = b""
    try:
        if method.client_streaming:
            async for _ in channel.stream_stream(path)(iter([request]), metadata=metadata):
                break
        elif method.server_streaming:
            async for _ in channel.unary_stream(path)(request, metadata=metadata):
                break
        else:
            await channel.unary_unary(path)(request, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        info, status = error_details_pb2.ErrorInfo(), rpc_status.from_call(error)
        assert status is not None
        assert status.details[0].Unpack(info)
        return {"reason": info.reason, "code": error.code().name, **info.metadata}
    return {}


@each_method
@pytest.mark.parametrize("role", ROLES)
async def test_a_call_is_let_in_for_the_roles_that_the_table_has(
    guarded: Any, service: Any, method: Any, role: str
) -> None:
    channel, keys = guarded

    refused = await refusal(channel, service, method, keys.get(role, ""))

    scope = scopes_pb2.Scope.Name(method.GetOptions().Extensions[scopes_pb2.scope]).removeprefix("SCOPE_")
    lacking = {"reason": "SCOPE_MISSING", "code": "PERMISSION_DENIED", "scope": scope, "role": role.upper()}
    if role == "nobody":
        assert refused == {"reason": "UNAUTHENTICATED", "code": "UNAUTHENTICATED", "cause": "missing"}
    elif role in ALLOWED[service.name][method.name].split():
        assert refused.get("reason") not in ("UNAUTHENTICATED", "SCOPE_MISSING")
    else:
        assert refused == lacking


async def test_the_table_has_every_call_and_nothing_else() -> None:
    served = {service.name: {method.name for method in service.methods} for service in SERVICES}

    assert {service: set(methods) for service, methods in ALLOWED.items()} == served


async def test_no_role_but_the_admin_s_both_starts_work_and_decides_about_it() -> None:
    flows, approvals = ALLOWED["FlowService"], ALLOWED["ApprovalService"]

    assert set(flows["StartFlow"].split()) & set(approvals["DecideApproval"].split()) == {"admin"}


async def test_an_executor_may_take_work_and_ask_who_it_is_and_nothing_else() -> None:
    may = [method for methods in ALLOWED.values() for method, roles in methods.items() if "executor" in roles.split()]

    assert sorted(may) == ["WhoAmI", "Work"]


async def test_roles_and_scopes_are_named_as_they_are_published() -> None:
    published = [name.removeprefix("ROLE_") for name in roles_pb2.Role.keys()[1:]]
    scopes = [name.removeprefix("SCOPE_") for name in scopes_pb2.Scope.keys()[1:]]

    assert [role.value for role in Role] == published
    assert [scope.value for scope in Scope] == scopes


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ([], "missing"),
        ([("authorization", "Bearer nonsense")], "unreadable"),
        ([("authorization", "Basic YTpi")], "unreadable"),
        ([("authorization", "")], "unreadable"),
        ([("authorization", "Bearer a" * 500)], "unreadable"),
        ([("authorization", f"Bearer perdure_{'0' * 16}_{'0' * 64}")], "unknown"),
        ([("authorization", f"Bearer perdure_{'0' * 16}_{'0' * 64}")] * 2, "unreadable"),
    ],
)
async def test_what_is_no_key_is_refused_and_not_repeated(guarded: Any, given: Any, cause: str) -> None:
    channel, _ = guarded

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary("/perdure.v1.IdentityService/WhoAmI")(b"", metadata=given)

    info, status = error_details_pb2.ErrorInfo(), rpc_status.from_call(refused.value)
    assert status is not None
    assert status.details[0].Unpack(info)
    assert (info.reason, dict(info.metadata)) == ("UNAUTHENTICATED", {"cause": cause})
    assert "000" not in str(refused.value.details())
    assert "nonsense" not in str(refused.value.details())


async def test_a_text_of_another_secret_is_refused(guarded: Any) -> None:
    channel, keys = guarded
    own = keys["admin"]
    another = own[:-1] + ("0" if own[-1] != "0" else "1")
    (service,) = [one for one in SERVICES if one.name == "IdentityService"]

    assert await refusal(channel, service, service.methods[0], own) == {}
    assert (await refusal(channel, service, service.methods[0], another))["cause"] == "unknown"
