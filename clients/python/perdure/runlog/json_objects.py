"""JSON objects, as they stand in inputs, outputs and manifests."""

import json
from collections.abc import Iterable
from typing import Any, Final

JsonObject = dict[str, Any]
"""A parsed JSON object: texts, numbers, booleans, None, and lists and objects of them."""


MAX_LEVELS: Final = 128
"""Most levels of a value that is taken in, from a caller or from work: lists and objects inside each other, and what is in
the last of them. Whoever reads it later goes down level by level, and may not go much deeper."""


class TooDeep(ValueError):
    """A value has more levels than are taken in."""

    def __init__(self) -> None:
        super().__init__(f"is nested more than {MAX_LEVELS} levels deep")


def json_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8, keys sorted. Raises ValueError for NaN and infinity, TypeError for what is not JSON."""
    return _JSON.encode(value).encode()


def bounded_json(value: object) -> bytes:
    """The same of a value that comes from outside. Raises TooDeep, too."""
    try:
        encoded = json_bytes(value)
    except RecursionError:
        raise TooDeep from None
    check_levels(value, encoded)
    return encoded


def check_levels(value: object, encoded: bytes = b"") -> None:
    """Raises TooDeep where a JSON value has too many levels. Its JSON may be given, to know at once that it has not."""
    if encoded and encoded.count(b"[") + encoded.count(b"{") < MAX_LEVELS:
        return
    if is_deeper(value, MAX_LEVELS):
        raise TooDeep


def is_deeper(value: object, levels: int) -> bool:
    """Whether a JSON value has more levels than so many, counted as MAX_LEVELS are."""
    level: list[object] = [value]
    for _ in range(levels):
        level = [inner for one in level for inner in _held(one)]
        if not level:
            return False
    return True


def _held(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list() | tuple():
            return value
        case _:
            return ()


_JSON: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
