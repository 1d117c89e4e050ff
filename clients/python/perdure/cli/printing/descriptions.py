"""One message as lines of `label: value`, whatever the message: what is unset is left out."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.cli.durations import short_duration
from perdure.cli.printing.subjects import subject_lines
from perdure.cli.printing.words import bytes_text, enum_word, label, moment_text, printable
from perdure.v1.approvals_pb2 import Approval

SECRET: Final = frozenset({"token"})
"""Fields that are asked for by name only: what they hold lets its bearer decide."""

EITHER_WAY: Final = frozenset(
    {"block_warnings", "can_continue", "current", "goes_on_by_itself", "passed", "present"}
    | {"require_approval", "require_review", "settled", "valid"}
)
"""Answers that are shown when they are no, too."""

_INDENT: Final = "  "


def describe(message: Message, now: datetime) -> list[str]:
    """The lines of a message."""
    fields = [
        (field, _shown(message, field))
        for field in cast("Iterable[FieldDescriptor]", message.DESCRIPTOR.fields)
        if field.name not in SECRET and (field.name in EITHER_WAY or _is_set(message, field))
    ]
    width = max((len(label(field.name)) for field, _ in fields), default=0) + 2
    return [line for field, value in fields for line in _lines(field, value, width, now)]


def _shown(message: Message, field: FieldDescriptor) -> Any:
    if isinstance(message, Approval) and field.name == "subject":
        return subject_lines(message)
    return getattr(message, field.name)


def _is_set(message: Message, field: FieldDescriptor) -> bool:
    if field.is_repeated or not field.has_presence:
        return bool(getattr(message, field.name))
    return message.HasField(field.name)


def _lines(field: FieldDescriptor, value: Any, width: int, now: datetime) -> Iterable[str]:
    head = f"{label(field.name)}:"
    blocks = [_value(field, item, now) for item in (value if field.is_repeated else [value])]
    if all(isinstance(block, str) for block in blocks):
        texts = "\n".join(str(block) for block in blocks).split("\n")
        return [f"{head if index == 0 else '':<{width}}{text}".rstrip() for index, text in enumerate(texts)]
    marks = ("- ", _INDENT) if field.is_repeated else (_INDENT, _INDENT)
    nested = [
        f"{_INDENT if field.is_repeated else ''}{marks[0] if index == 0 else marks[1]}{line}"
        for block in blocks
        for index, line in enumerate(block)
    ]
    return [head, *nested] if nested else []


def _value(field: FieldDescriptor, value: Any, now: datetime) -> str | list[str]:
    match value:
        case Timestamp():
            return moment_text(value, now)
        case Duration():
            return short_duration(value.ToTimedelta())
        case Struct():
            return printable(json.dumps(MessageToDict(value), indent=2, ensure_ascii=False))
        case Message():
            return describe(value, now)
        case list():
            return value
        case bytes():
            return bytes_text(field.name, value)
        case bool():
            return "yes" if value else "no"
        case str():
            return printable(value)
        case _:
            return enum_word(field.enum_type, value) if field.enum_type is not None else str(value)
