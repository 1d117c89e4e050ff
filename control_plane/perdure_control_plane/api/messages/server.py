"""The server itself, and its executors, as messages."""

from perdure.v1 import server_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.executor import ListedExecutor
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.manifests.approvals import DEFAULT_EXPIRY_SECONDS


def limits(value: Limits) -> server_pb2.Limits:
    """What the server refuses to exceed."""
    message = server_pb2.Limits(
        max_message_bytes=value.max_message_bytes,
        max_payload_bytes=value.max_payload_bytes,
        max_manifest_bytes=value.max_manifest_bytes,
        max_plan_nodes=value.max_plan_nodes,
        default_page_size=value.default_page_size,
        max_page_size=value.max_page_size,
        max_queued_runs=value.max_queued_runs,
        max_page_bytes=value.max_page_bytes,
    )
    message.default_approval_expiry.FromSeconds(int(DEFAULT_EXPIRY_SECONDS))
    return message


def executor(value: ListedExecutor) -> server_pb2.Executor:
    """An executor."""
    known = value.executor
    return server_pb2.Executor(
        name=f"executors/{known.executor_id}",
        incarnation=known.incarnation,
        state=server_pb2.Executor.STATE_LIVE if value.live else server_pb2.Executor.STATE_GONE,
        held_runs=value.held_runs,
        slots=known.slots,
        node_kinds=known.node_kinds,
        queues=known.queues,
        providers=known.providers,
        labels=known.labels,
        lease_end_time=timestamp(known.lease_until),
        version=known.version,
    )
