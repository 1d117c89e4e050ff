"""The key by which runs are counted of which so many go on at once."""

import re
from typing import Final

from perdure.expressions.templates import Expression, parts
from perdure.runlog.json_objects import JsonObject
from perdure.secrets.encrypted import is_encrypted
from perdure.v1.run_events_pb2 import ConcurrencyPlace
from perdure_control_plane.domain.errors import FieldInvalid, field_invalid

FIELD: Final = re.compile(r"inputs\.([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*)*)")
"""What may stand between the braces of a key."""

MAX_KEY: Final = 1024
"""Longest key, in characters."""


def place_of(key: str, limit: int, value: JsonObject) -> ConcurrencyPlace:
    """The place that a run needs whose plan has this key, started with this input. Raises FieldInvalid."""
    key = "".join(_text(part.source, value) if isinstance(part, Expression) else part for part in parts(key))
    if not key or len(key) > MAX_KEY or not key.isprintable():
        raise _invalid(f"makes a concurrency key that is no line of 1 to {MAX_KEY} printable characters")
    return ConcurrencyPlace(key=key, limit=limit)


def _text(source: str, value: JsonObject) -> str:
    found: object = value
    for name in source.split(".")[1:]:
        found = found.get(name) if isinstance(found, dict) else None
    if is_encrypted(found):
        raise _invalid(f"is encrypted at {source}, which the concurrency key reads; leave that field as it is")
    match found:
        case bool():
            return "true" if found else "false"
        case str() | int():
            return str(found)
        case _:
            raise _invalid(f"has no text, whole number or truth value at {source}, which the concurrency key reads")


def _invalid(description: str) -> FieldInvalid:
    return field_invalid("request.input", description)
