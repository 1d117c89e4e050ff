"""For each call that takes a request id: what must be there for it, a request, and another one."""

import json
import pathlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from perdure.keys import key_metadata
from perdure.v1 import (
    approvals_pb2,
    flows_pb2,
    keys_pb2,
    keys_pb2_grpc,
    playbooks_pb2,
    roles_pb2,
    run_events_pb2,
    runs_pb2,
    schedules_pb2,
    sessions_pb2,
)
from perdure_control_plane.api.mount import SERVICES
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.domain.webhook import Delivery
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_services.caller_keys import Wanted, new_key
from perdure_services.settings import load_control_plane

HEAD = {"version": "1.0.0", "title": "Work", "objective": "Do it"}
STEP = {"id": "a", "type": "function", "function": "noop", "effect": "none"}
GATE = {"id": "gate", "type": "approval", "prompt": "Go on?"}
ENDLESS = {"id": "a", "type": "deterministic", "command": "sleep", "args": ["60"], "timeout_ms": 100}
"""Nobody can say of it what it did; it is in doubt."""


def manifest(*nodes: Any, playbook: str = "p") -> str:
    return json.dumps({**HEAD, "playbook_id": playbook, "nodes": nodes})


def paused(recorded: run_events_pb2.RecordedEvent) -> bool:
    return bool(recorded.event.HasField("run_paused"))


@dataclass
class Situation:
    """A server that an executor works for, which takes nothing that waits in the queue `nobody`, and who calls it."""

    service: Any
    channel: Any
    """Of whoever makes the request; the service's own is of whoever prepares it."""
    principal: str = "anonymous"

    async def draft(self, playbook: str = "p") -> playbooks_pb2.PlaybookVersion:
        document = playbooks_pb2.PlaybookDocument(text=manifest(STEP, playbook=playbook).encode())
        return await self.service.playbooks.CreatePlaybookVersion(
            playbooks_pb2.CreatePlaybookVersionRequest(document=document)
        )

    async def queued(self) -> flows_pb2.Flow:
        return await self.service.start(manifest(STEP), queue="nobody")

    async def waiting(self, node: Any) -> flows_pb2.Flow:
        flow = await self.service.start(manifest(node))
        await self.service.until(flow, paused)
        return flow

    async def yearly(self) -> schedules_pb2.Schedule:
        """A schedule whose time does not come here."""
        version = await self.service.publish(manifest(STEP))
        await self.service.sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id="s"))
        start = flows_pb2.StartFlowRequest(
            playbook_version=version.name, digest=version.digest, session="sessions/s", queue="nobody"
        )
        return schedules_pb2.Schedule(start=start, interval=Duration(seconds=365 * 24 * 3600))


Fields = dict[str, Any]


async def creating(here: Situation) -> tuple[Fields, Fields]:
    document, other = ({"text": manifest({**STEP, "id": node}).encode()} for node in "ab")
    return {"document": document}, {"document": other}


async def publishing(here: Situation) -> tuple[Fields, Fields]:
    draft = await here.draft()
    same = {"name": draft.name, "digest": draft.digest, "evidence": [{"kind": "review", "id": "R"}]}
    return same, {**same, "publication": playbooks_pb2.PUBLICATION_CANARY}


async def revoking(here: Situation) -> tuple[Fields, Fields]:
    draft = await here.draft()
    same = {"name": draft.name, "digest": draft.digest, "reason": "a mistake"}
    return same, {**same, "reason": "another mistake"}


async def beginning_a_session(here: Situation) -> tuple[Fields, Fields]:
    return {}, {"session_id": "mine"}


async def stopping_a_flow(here: Situation) -> tuple[Fields, Fields]:
    name = (await here.queued()).name
    return {"name": name}, {"name": name, "reason": "why not"}


async def stopping_a_run(here: Situation) -> tuple[Fields, Fields]:
    name = (await here.queued()).root_run
    return {"name": name}, {"name": name, "reason": "why not"}


async def resuming_a_flow(here: Situation) -> tuple[Fields, Fields]:
    name = (await here.queued()).name
    await here.service.flows.PauseFlow(flows_pb2.PauseFlowRequest(name=name))
    return {"name": name}, {"name": name, "reason": "why not"}


async def resuming(here: Situation) -> tuple[Fields, Fields]:
    name = (await here.queued()).root_run
    await here.service.runs.PauseRun(runs_pb2.PauseRunRequest(name=name))
    return {"name": name}, {"name": name, "reason": "why not"}


async def continuing(here: Situation) -> tuple[Fields, Fields]:
    name = (await here.queued()).root_run
    ended = await here.service.runs.InterruptRun(runs_pb2.InterruptRunRequest(name=name))
    same = {"name": name, "answers_sequence": ended.ended_sequence}
    return same, {**same, "reason": "why not"}


async def resolving(here: Situation) -> tuple[Fields, Fields]:
    name = (await here.waiting(ENDLESS)).root_run
    same = {"name": name, "instance": "a:1#1", "resolution": 3}
    return same, {**same, "reason": "why not"}


async def deciding(here: Situation) -> tuple[Fields, Fields]:
    flow = await here.waiting(GATE)
    (listed,) = (await here.service.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals
    shown = await here.service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=listed.name))
    assert shown.flow == flow.name
    same = {"name": shown.name, "token": shown.token, "decision": 1}
    return same, {**same, "reason": "why not"}


async def waiting_approval(here: Situation, gate: Any = GATE) -> str:
    await here.waiting(gate)
    (listed,) = (await here.service.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals
    return str(listed.name)


async def commenting(here: Situation) -> tuple[Fields, Fields]:
    same = {"name": await waiting_approval(here), "text": "which?"}
    return same, {**same, "text": "why?"}


async def delegating(here: Situation) -> tuple[Fields, Fields]:
    same = {"name": await waiting_approval(here, {**GATE, "assignees": ["keys/ada"]}), "to": "users/bob"}
    return same, {**same, "to": "users/cy"}


async def withdrawing(here: Situation) -> tuple[Fields, Fields]:
    same = {"name": await waiting_approval(here), "reason": "not needed"}
    return same, {**same, "reason": "too late"}


async def signalling(here: Situation) -> tuple[Fields, Fields]:
    waits = {"id": "a", "type": "wait", "signal": "paid"}
    same = {"name": (await here.service.start(manifest(waits), queue="nobody")).root_run, "signal": "paid"}
    return same, {**same, "payload": b'{"amount": 7}'}


async def scheduling(here: Situation) -> tuple[Fields, Fields]:
    same = {"schedule_id": "yearly", "schedule": await here.yearly()}
    return same, {**same, "schedule_id": "another"}


async def limiting(here: Situation) -> tuple[Fields, Fields]:
    same = {"name": "queues/slow", "max_runs_at_work": 2}
    return same, {**same, "max_runs_at_work": 3}


async def demanding(here: Situation) -> tuple[Fields, Fields]:
    return {"require_review": True}, {"require_review": False}


async def changing_a_schedule(here: Situation) -> tuple[Fields, Fields]:
    names = []
    for schedule_id in ("one", "other"):
        asked = schedules_pb2.CreateScheduleRequest(schedule_id=schedule_id, schedule=await here.yearly())
        names.append((await here.service.schedules.CreateSchedule(asked)).name)
    return {"name": names[0]}, {"name": names[1]}


async def making_a_key(here: Situation) -> tuple[Fields, Fields]:
    same = {"key": "ci", "role": roles_pb2.ROLE_OPERATOR}
    return same, {**same, "role": roles_pb2.ROLE_ADMIN}


async def changing_a_key(here: Situation) -> tuple[Fields, Fields]:
    stub: Any = keys_pb2_grpc.KeyServiceStub(here.service.channel)
    for key in ("one", "other"):
        await stub.CreateKey(keys_pb2.CreateKeyRequest(key=key, role=roles_pb2.ROLE_VIEWER))
    return {"name": "keys/one"}, {"name": "keys/other"}


async def settling_a_delivery(here: Situation) -> tuple[Fields, Fields]:
    one, other = (f"webhooks/old/deliveries/{event_id}" for event_id in "ab")
    return {"name": one}, {"name": other}


REQUESTS: dict[str, Callable[[Situation], Awaitable[tuple[Fields, Fields]]]] = {
    "CreatePlaybookVersion": creating,
    "PublishPlaybookVersion": publishing,
    "RevokePlaybookVersion": revoking,
    "CreateSession": beginning_a_session,
    "CancelFlow": stopping_a_flow,
    "PauseFlow": stopping_a_flow,
    "ResumeFlow": resuming_a_flow,
    "CancelRun": stopping_a_run,
    "InterruptRun": stopping_a_run,
    "PauseRun": stopping_a_run,
    "ResumeRun": resuming,
    "ContinueRun": continuing,
    "ResolveEffect": resolving,
    "DecideApproval": deciding,
    "CommentApproval": commenting,
    "DelegateApproval": delegating,
    "WithdrawApproval": withdrawing,
    "SignalRun": signalling,
    "CreateSchedule": scheduling,
    "PauseSchedule": changing_a_schedule,
    "ResumeSchedule": changing_a_schedule,
    "TriggerSchedule": changing_a_schedule,
    "DeleteSchedule": changing_a_schedule,
    "RetryWebhookDelivery": settling_a_delivery,
    "DropWebhookDelivery": settling_a_delivery,
    "UpdateQueue": limiting,
    "UpdatePolicy": demanding,
    "CreateKey": making_a_key,
    "RotateKey": changing_a_key,
    "RevokeKey": changing_a_key,
}
"""For each call that takes a request id, a request and another one."""

METHODS = {method.name: method for service in SERVICES for method in service.methods}


async def call(channel: grpc.aio.Channel, name: str, fields: Fields) -> Message:
    method = METHODS[name]
    response = GetMessageClass(method.output_type)
    path = f"/{method.containing_service.full_name}/{name}"
    request = GetMessageClass(method.input_type)(request_id="r-1", **fields)
    return await channel.unary_unary(path, type(request).SerializeToString, response.FromString)(request)


async def situation(name: str, serve: Any, hire: Any, data_dir: pathlib.Path) -> Situation:
    """Starts the server and the executor that the request of a call needs."""
    if REQUESTS[name] is delegating:
        return await _with_keys(serve, hire, data_dir)
    if REQUESTS[name] is settling_a_delivery:
        await _leave_deliveries(data_dir)
    service = await serve()
    await hire(service)
    return Situation(service, service.channel)


async def _with_keys(serve: Any, hire: Any, data_dir: pathlib.Path) -> Situation:
    """Two admins, for nobody who is not known delegates, and nobody who started."""
    settings = load_control_plane(None, {"data_dir": data_dir})
    keys = {name: (await new_key(settings, Wanted(name, Role.ADMIN, 0)))[1] for name in ("starter", "other")}
    service = await serve(authentication="required")
    await hire(service, key=keys["starter"])
    starter, other = (_Keyed(service.channel, key) for key in keys.values())
    return Situation(replace(service, channel=starter), other, "keys/other")


@dataclass
class _Keyed:
    """A channel that gives a key with every call."""

    channel: grpc.aio.Channel
    key: str

    def unary_unary(self, *method: Any, **serializers: Any) -> Any:
        return partial(self.channel.unary_unary(*method, **serializers), metadata=key_metadata(self.key))

    def unary_stream(self, *method: Any, **serializers: Any) -> Any:
        return partial(self.channel.unary_stream(*method, **serializers), metadata=key_metadata(self.key))


async def _leave_deliveries(data_dir: pathlib.Path) -> None:
    """Leaves in a store what was on its way to a webhook that no server is configured with any more."""
    now = time.time_ns() // 1000
    left = [Delivery("old", event_id, "dev.perdure.approval.requested", "approvals/a", now, b"{}") for event_id in "ab"]
    store = SqliteStore(data_dir, lambda: now)
    await store.open()
    await store.write(lambda tx: (tx.webhook_spool.lock("old", 0), tx.webhook_spool.add("old", left, 0, at=now)))
    await store.close()
