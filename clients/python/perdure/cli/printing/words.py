"""Values in the words that people read."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.cli.durations import short_duration

_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


def enum_word(enum: EnumDescriptor, number: int) -> str:
    """A value of an enum without its prefix: `timed out` for RUN_STATE_TIMED_OUT. Its number where it is unknown."""
    value = enum.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix = _CAPITAL.sub("_", enum.name).upper()
    return value.name.removeprefix(f"{prefix}_").lower().replace("_", " ")


def counted(number: int, noun: str) -> str:
    """A number of things: `1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def because(what: str, reason: str) -> str:
    """What happened, and why where somebody has said so."""
    return f"{what}: {reason}" if reason else what


def label(field: str) -> str:
    """The name of a field, in words."""
    return field.replace("_", " ")


def at(moment: Timestamp) -> datetime:
    """A moment."""
    return moment.ToDatetime(UTC)


def age(moment: Timestamp, now: datetime) -> str:
    """How long ago: `3m20s`; for a moment to come, `in 3m20s`; empty where it is unset."""
    if not moment.ByteSize():
        return ""
    passed = timedelta(seconds=round((now - at(moment)).total_seconds()))
    return short_duration(passed) if passed >= timedelta() else f"in {short_duration(-passed)}"


def moment_text(moment: Timestamp, now: datetime) -> str:
    """A moment, and how far it is away."""
    passed = age(moment, now)
    away = passed if passed.startswith("in ") else f"{passed} ago"
    return f"{at(moment):%Y-%m-%d %H:%M:%S} UTC ({away})"


def printable(text: str) -> str:
    """Text that came from elsewhere, with whatever could steer a terminal or hide a part of it made visible."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else _visible(sign) for sign in text)


def one_line(text: str, limit: int = 0) -> str:
    """Text from elsewhere on one line, cut to a limit where one is given."""
    line = printable(" ".join(text.split()))
    return line if not limit or len(line) <= limit else f"{line[: limit - 1]}…"


def bytes_text(field: str, content: bytes) -> str:
    """What a bytes field holds: JSON laid out, text as it is, digests and the rest in hexadecimal."""
    if field.endswith(("digest", "hash", "key", "signature")):
        return content.hex()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content.hex()
    try:
        return printable(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return printable(text.rstrip("\n"))


def _visible(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def rate_words(runs: int, period: Duration) -> str:
    """A rate for people: `20 in 1m`; nothing where there is none."""
    return f"{runs} in {short_duration(period.ToTimedelta())}" if runs else ""
