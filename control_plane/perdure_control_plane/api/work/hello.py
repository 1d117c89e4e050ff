"""The first message of each side of a stream."""

from typing import Final

from perdure.v1 import execution_pb2
from perdure_control_plane.api.messages.times import duration
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.domain.errors import ProtocolViolation, VersionUnsupported
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.ids import Incarnation

PROTOCOL: Final = 1
"""The version of the work stream that this server speaks."""


def read_hello(hello: execution_pb2.Hello) -> Executor:
    """The executor that says hello, on no stream yet. Raises ProtocolViolation or VersionUnsupported."""
    for field in ("executor_id", "incarnation"):
        if not getattr(hello, field):
            raise ProtocolViolation(f"hello.{field}: is required")
    if not hello.protocol.lowest <= PROTOCOL <= hello.protocol.highest:
        raise VersionUnsupported("protocol", str(PROTOCOL))
    return Executor(
        executor_id=hello.executor_id,
        incarnation=Incarnation(hello.incarnation),
        stream_number=0,
        lease_until=0,
        renewed_at=0,
        node_kinds=tuple(hello.node_kinds),
        queues=tuple(hello.queues),
        providers=tuple(hello.providers),
        fold_lowest=hello.fold.lowest,
        fold_highest=hello.fold.highest,
        slots=hello.slots,
        version=hello.version,
    )


def welcome(desk: Desk) -> execution_pb2.Welcome:
    """The answer to a hello: who serves, since when, and by which times and limits."""
    timing, limits = desk.timing, desk.limits
    return execution_pb2.Welcome(
        server_id=desk.identity.server_id,
        generation=desk.identity.generation,
        protocol=PROTOCOL,
        lease=duration(timing.lease),
        heartbeat_interval=duration(timing.heartbeat_interval),
        stall_allowance=duration(timing.stall_allowance),
        stop_grace=duration(timing.stop_grace),
        max_payload_bytes=limits.max_payload_bytes,
        max_message_bytes=limits.max_message_bytes,
    )
