"""Events of a run's log, one line each."""

from datetime import datetime
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.cli.durations import short_duration
from perdure.cli.printing.words import at, bytes_text, enum_word, label, one_line
from perdure.runlog.instances import instance
from perdure.v1.instances_pb2 import Instance
from perdure.v1.run_events_pb2 import RecordedEvent

HEADER: Final = f"{'SEQUENCE':>8}  {'STORED (UTC)':<12}  {'EVENT':<18}  {'WHERE':<24}  WHAT"
_DETAIL_SIGNS: Final = 120
_QUIET: Final = frozenset(
    {
        *("incarnation", "generation", "epoch", "nonce", "lineage", "fold_version", "term", "providers"),
        *("approval_id", "decide_time"),
    }
)
"""Fields that only programs read, or that the line says in other words; `-o json` has them."""


def event_line(recorded: RecordedEvent) -> str:
    """An event as one line under HEADER."""
    kind = recorded.event.WhichOneof("kind") or "(unknown)"
    content = getattr(recorded.event, kind, None)
    where = where_of(content)
    actor = f"by={recorded.outside.actor} " if recorded.outside.actor else ""
    detail = one_line(actor + (_pairs(content) if content is not None else ""), _DETAIL_SIGNS)
    moment: datetime = at(recorded.stored_time)
    stored = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"
    return f"{recorded.sequence:>8}  {stored}  {label(kind):<18}  {where:<24}  {detail}".rstrip()


def where_of(content: Message | None) -> str:
    """The attempt an event is about, as text; empty where it is about the run."""
    if content is None or "instance" not in content.DESCRIPTOR.fields_by_name or not content.HasField("instance"):
        return ""
    where: Instance = content.instance  # type: ignore[attr-defined]  # looked for by name, two lines above
    return str(instance(where))


def _pairs(message: Message) -> str:
    return " ".join(
        f"{label(field.name)}={_text(field, value)}"
        for field, value in message.ListFields()
        if field.name not in _QUIET and field.name != "instance" and not field.name.endswith("digest")
    )


def _text(field: FieldDescriptor, value: Any) -> str:
    if field.is_repeated:
        return ",".join(_single(field, item) for item in value)
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> str:
    match value:
        case Instance():
            return str(instance(value))
        case Timestamp():
            return f"{at(value):%Y-%m-%dT%H:%M:%SZ}"
        case Duration():
            return short_duration(value.ToTimedelta())
        case Message():
            return f"({_pairs(value)})"
        case bytes():
            return bytes_text(field.name, value[: 4 * _DETAIL_SIGNS])
        case bool():
            return "yes" if value else "no"
        case _:
            return enum_word(field.enum_type, value) if field.enum_type is not None else str(value)
