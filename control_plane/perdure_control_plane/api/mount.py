"""Everything a control plane serves, on one page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from perdure.audit.signing import HeadKey
from perdure.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    approvals_pb2,
    approvals_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    credentials_pb2,
    credentials_pb2_grpc,
    execution_pb2,
    execution_pb2_grpc,
    flows_pb2,
    flows_pb2_grpc,
    identities_pb2,
    identities_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    playbooks_pb2,
    playbooks_pb2_grpc,
    policies_pb2,
    policies_pb2_grpc,
    queues_pb2,
    queues_pb2_grpc,
    run_inbox_pb2,
    run_inbox_pb2_grpc,
    runs_pb2,
    runs_pb2_grpc,
    schedules_pb2,
    schedules_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
    webhooks_pb2,
    webhooks_pb2_grpc,
)
from perdure_control_plane.api.approval_servicer import ApprovalServicer
from perdure_control_plane.api.audit_servicer import AuditServicer
from perdure_control_plane.api.credential_servicer import CredentialServicer
from perdure_control_plane.api.doorkeeper import OPEN, Doorkeeper
from perdure_control_plane.api.execution_servicer import ExecutionServicer
from perdure_control_plane.api.flow_servicer import FlowServicer
from perdure_control_plane.api.health import Health
from perdure_control_plane.api.inbox_servicer import InboxServicer
from perdure_control_plane.api.interceptors import CallInterceptor, scopes_of
from perdure_control_plane.api.key_servicer import IdentityServicer, KeyServicer
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.api.playbook_servicer import PlaybookServicer
from perdure_control_plane.api.policy_servicer import PolicyServicer
from perdure_control_plane.api.queue_servicer import QueueServicer
from perdure_control_plane.api.rates import UNLIMITED, Rates
from perdure_control_plane.api.run_servicer import RunServicer
from perdure_control_plane.api.schedule_servicer import ScheduleServicer
from perdure_control_plane.api.server_servicer import ServerServicer
from perdure_control_plane.api.session_servicer import AgentServicer, SessionServicer
from perdure_control_plane.api.task_servicer import TaskServicer
from perdure_control_plane.api.watched_approvals import WatchedApprovals
from perdure_control_plane.api.webhook_servicer import WebhookServicer
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.domain.api_key import KeyTexts
from perdure_control_plane.domain.approval import TokenKeys
from perdure_control_plane.domain.credential import ServerCredential
from perdure_control_plane.domain.limits import SECOND, Limits
from perdure_control_plane.domain.webhook import ConfiguredWebhook
from perdure_control_plane.usecases.known_keys import KnownKeys
from perdure_control_plane.usecases.record_denials import Denials
from perdure_control_plane.usecases.resolve_effect import Bounds
from perdure_control_plane.usecases.start_flow import FlowStarter
from perdure_control_plane.usecases.watch_approvals import ApprovalWatcher
from perdure_control_plane.usecases.watch_runs import Watcher

SERVICES: Final = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (playbooks_pb2, "PlaybookService"),
        (flows_pb2, "FlowService"),
        (sessions_pb2, "SessionService"),
        (runs_pb2, "RunService"),
        (run_inbox_pb2, "InboxService"),
        (approvals_pb2, "ApprovalService"),
        (webhooks_pb2, "WebhookService"),
        (tasks_pb2, "TaskService"),
        (schedules_pb2, "ScheduleService"),
        (queues_pb2, "QueueService"),
        (policies_pb2, "PolicyService"),
        (agents_pb2, "AgentService"),
        (audit_pb2, "AuditService"),
        (credentials_pb2, "CredentialService"),
        (server_pb2, "ServerService"),
        (keys_pb2, "KeyService"),
        (identities_pb2, "IdentityService"),
        (execution_pb2, "ExecutionService"),
    )
]

HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
REFLECTION: Final = reflection.SERVICE_NAME


@dataclass(frozen=True, slots=True)
class Front:
    """What the servicers work with, beside what sessions do."""

    desk: Desk
    keys: Callable[[], TokenKeys]
    """Those behind approval tokens, now."""
    texts: KeyTexts
    known_keys: KnownKeys
    page_secret: bytes
    audit_key: HeadKey
    credentials: Callable[[], Sequence[ServerCredential]]
    """Which secrets the server has, now."""
    health: Health
    doorkeeper: Doorkeeper
    webhooks: Sequence[ConfiguredWebhook] = ()


def interceptor(
    limits: Limits, denials: Denials, doorkeeper: Doorkeeper = OPEN, rates: Rates = UNLIMITED
) -> CallInterceptor:
    """What every call to the services goes through."""
    everybody = frozenset({HEALTH, REFLECTION})
    return CallInterceptor(scopes_of(*SERVICES), everybody, limits.max_message_bytes, doorkeeper, denials, rates)


def mount(server: grpc.aio.Server, front: Front, *, reflect: bool) -> None:
    """Adds every service to a server; `reflect` lets tools ask for the schema."""
    desk = front.desk
    store, limits = desk.store, desk.limits
    pages = Pages(front.page_secret, limits)
    heartbeat_seconds = desk.timing.heartbeat_interval / SECOND
    watcher = Watcher(store, desk.changes, limits, heartbeat_seconds)
    approval_watcher = ApprovalWatcher(store, desk.changes, heartbeat_seconds)
    watched = WatchedApprovals(approval_watcher, pages, lambda: desk.identity.generation)
    starter = FlowStarter(store, limits)
    playbooks_pb2_grpc.add_PlaybookServiceServicer_to_server(PlaybookServicer(store, limits, pages), server)
    flows_pb2_grpc.add_FlowServiceServicer_to_server(FlowServicer(store, starter, pages, watcher), server)
    sessions_pb2_grpc.add_SessionServiceServicer_to_server(SessionServicer(store, limits, pages), server)
    runs_pb2_grpc.add_RunServiceServicer_to_server(
        RunServicer(store, Bounds(limits, desk.timing), pages, watcher), server
    )
    run_inbox_pb2_grpc.add_InboxServiceServicer_to_server(InboxServicer(store, limits, pages), server)
    approval_servicer = ApprovalServicer(store, limits, front.keys, pages, watched)
    approvals_pb2_grpc.add_ApprovalServiceServicer_to_server(approval_servicer, server)
    webhook_servicer = WebhookServicer(store, pages, front.webhooks)
    webhooks_pb2_grpc.add_WebhookServiceServicer_to_server(webhook_servicer, server)
    tasks_pb2_grpc.add_TaskServiceServicer_to_server(TaskServicer(store, pages), server)
    agents_pb2_grpc.add_AgentServiceServicer_to_server(AgentServicer(store, pages), server)
    schedule_servicer = ScheduleServicer(store, starter, limits, pages)
    schedules_pb2_grpc.add_ScheduleServiceServicer_to_server(schedule_servicer, server)
    queues_pb2_grpc.add_QueueServiceServicer_to_server(QueueServicer(store, pages, desk.changes), server)
    policies_pb2_grpc.add_PolicyServiceServicer_to_server(PolicyServicer(store), server)
    credential_servicer = CredentialServicer(store, front.credentials)
    credentials_pb2_grpc.add_CredentialServiceServicer_to_server(credential_servicer, server)
    audit_servicer = AuditServicer(store, pages, front.audit_key.public_key)
    audit_pb2_grpc.add_AuditServiceServicer_to_server(audit_servicer, server)
    server_servicer = ServerServicer(store, limits, pages, desk.identity, is_open=front.doorkeeper.is_open)
    server_pb2_grpc.add_ServerServiceServicer_to_server(server_servicer, server)
    keys_pb2_grpc.add_KeyServiceServicer_to_server(KeyServicer(store, front.texts, front.known_keys, pages), server)
    identities_pb2_grpc.add_IdentityServiceServicer_to_server(IdentityServicer(), server)
    execution_pb2_grpc.add_ExecutionServiceServicer_to_server(ExecutionServicer(desk), server)
    health_pb2_grpc.add_HealthServicer_to_server(front.health.servicer, server)
    if reflect:
        names = [service.full_name for service in SERVICES]
        reflection.enable_server_reflection([*names, HEALTH, REFLECTION], server)
