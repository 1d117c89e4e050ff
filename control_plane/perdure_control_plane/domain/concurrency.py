"""How many runs go on at once: the key that a run is counted by, and the room that a key has."""

import re
from dataclasses import dataclass
from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure.runlog.templates import Expression, parts
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
    match found:
        case bool():
            return "true" if found else "false"
        case str() | int():
            return str(found)
        case _:
            raise _invalid(f"has no text, whole number or truth value at {source}, which the concurrency key reads")


def _invalid(description: str) -> FieldInvalid:
    return field_invalid("request.input", description)


@dataclass(frozen=True, slots=True)
class Ready:
    """A ready run that an executor could do. Key and limit are those of the place that it wants; empty and 0: of none."""

    run_id: str
    concurrency_key: str
    concurrency_limit: int


class Room:
    """How many runs of each key have a place, counting those that are being handed out."""

    def __init__(self) -> None:
        self.held: Final[dict[str, int]] = {}
        """Runs by key that have a place."""
        self.full: Final[dict[str, int]] = {}
        """Those of the keys of which a run found no place."""

    def take(self, ready: Ready) -> bool:
        """Counts a run that is handed out. False where its key, which was counted, has no place for it."""
        key = ready.concurrency_key
        if not key:
            return True
        if self.held[key] >= ready.concurrency_limit:
            self.full[key] = self.held[key]
            return False
        self.held[key] += 1
        return True
