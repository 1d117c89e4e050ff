"""The channel under a client: retries, balancing and keep-alive, all of them gRPC's own."""

import json
from typing import Final

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2

from perdure.addresses import is_local
from perdure.v1 import (
    agents_pb2,
    approvals_pb2,
    audit_pb2,
    credentials_pb2,
    flows_pb2,
    identities_pb2,
    keys_pb2,
    playbooks_pb2,
    policies_pb2,
    queues_pb2,
    run_inbox_pb2,
    runs_pb2,
    schedules_pb2,
    server_pb2,
    sessions_pb2,
    tasks_pb2,
    webhooks_pb2,
)

SERVICES: Final[tuple[ServiceDescriptor, ...]] = (
    playbooks_pb2.DESCRIPTOR.services_by_name["PlaybookService"],
    flows_pb2.DESCRIPTOR.services_by_name["FlowService"],
    sessions_pb2.DESCRIPTOR.services_by_name["SessionService"],
    runs_pb2.DESCRIPTOR.services_by_name["RunService"],
    run_inbox_pb2.DESCRIPTOR.services_by_name["InboxService"],
    approvals_pb2.DESCRIPTOR.services_by_name["ApprovalService"],
    tasks_pb2.DESCRIPTOR.services_by_name["TaskService"],
    schedules_pb2.DESCRIPTOR.services_by_name["ScheduleService"],
    policies_pb2.DESCRIPTOR.services_by_name["PolicyService"],
    queues_pb2.DESCRIPTOR.services_by_name["QueueService"],
    audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
    credentials_pb2.DESCRIPTOR.services_by_name["CredentialService"],
    agents_pb2.DESCRIPTOR.services_by_name["AgentService"],
    server_pb2.DESCRIPTOR.services_by_name["ServerService"],
    keys_pb2.DESCRIPTOR.services_by_name["KeyService"],
    identities_pb2.DESCRIPTOR.services_by_name["IdentityService"],
    webhooks_pb2.DESCRIPTOR.services_by_name["WebhookService"],
)
"""Services that a client calls, beside gRPC's own of health."""

_HEALTH: Final[ServiceDescriptor] = health_pb2.DESCRIPTOR.services_by_name["Health"]

_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A server that comes back is found within seconds, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A watcher that reads slowly holds the server back after a few hundred events instead of buffering megabytes.
    ("grpc.http2.bdp_probe", 0),
)


def open_channel(address: str, credentials: grpc.ChannelCredentials | None, attempts: int) -> grpc.aio.Channel:
    """A channel to the servers at an address, in plain text where no credentials are given."""
    options = [*_OPTIONS, *proxy_options(address), ("grpc.service_config", service_config(attempts))]
    if credentials is None:
        return grpc.aio.insecure_channel(address, options)
    return grpc.aio.secure_channel(address, credentials, options)


def proxy_options(address: str) -> list[tuple[str, int]]:
    """Channel options that keep a server on this machine from being sought behind a proxy that the environment names."""
    return [("grpc.enable_http_proxy", 0)] if is_local(address) else []


def service_config(attempts: int) -> str:
    """Tries every unary method again that no server answered: a request id makes each of them idempotent.

    Watches are not among them; they are opened again where they broke off.
    """
    names = [
        {"service": service.full_name, "method": method.name}
        for service in (*SERVICES, _HEALTH)
        for method in service.methods
        if not method.server_streaming
    ]
    policy = {
        "maxAttempts": attempts,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    methods = [{"name": names, "retryPolicy": policy}] if attempts > 1 else []
    return json.dumps({"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": methods})
