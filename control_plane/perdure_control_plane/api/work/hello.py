"""The first message of each side of a stream."""

from collections.abc import Sequence
from typing import Final

from perdure.v1 import execution_pb2
from perdure_control_plane.api.messages.times import duration
from perdure_control_plane.api.names import chosen_id
from perdure_control_plane.api.requests import line
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.domain.errors import VersionUnsupported, field_invalid
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.ids import Incarnation

PROTOCOL: Final = 1
"""The version of the work stream that this server speaks."""

MAX_WORDS: Final = 100
"""Most node kinds, queues, providers, or labels of an executor."""

MAX_SLOTS: Final = 10_000
"""Most runs that an executor may say it holds at once."""


MAX_FORM: Final = 128
"""Most characters of the name of a form."""


def read_hello(hello: execution_pb2.Hello) -> Executor:
    """The executor that says hello, on no stream yet. Raises FieldInvalid or VersionUnsupported."""
    if not hello.protocol.lowest <= PROTOCOL <= hello.protocol.highest:
        raise VersionUnsupported("protocol", str(PROTOCOL))
    if not 1 <= hello.slots <= MAX_SLOTS:
        raise field_invalid("hello.slots", f"is from 1 to {MAX_SLOTS}")
    return Executor(
        executor_id=chosen_id(hello.executor_id, "hello.executor_id"),
        incarnation=Incarnation(chosen_id(hello.incarnation, "hello.incarnation")),
        stream_number=0,
        lease_until=0,
        renewed_at=0,
        node_kinds=_words(hello.node_kinds, "hello.node_kinds"),
        queues=_words(hello.queues, "hello.queues"),
        providers=_words(hello.providers, "hello.providers"),
        labels=_words(hello.labels, "hello.labels"),
        fold_lowest=hello.fold.lowest,
        fold_highest=hello.fold.highest,
        slots=hello.slots,
        version=line(hello.version, "hello.version"),
        snapshot_form=hello.snapshot_form[:MAX_FORM],
    )


def _words(given: Sequence[str], field: str) -> tuple[str, ...]:
    if len(given) > MAX_WORDS:
        raise field_invalid(field, f"has {len(given)} words; the limit is {MAX_WORDS}")
    return tuple(chosen_id(word, f"{field}[{index}]") for index, word in enumerate(given))


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
        max_message_bytes=limits.max_stream_message_bytes,
    )
