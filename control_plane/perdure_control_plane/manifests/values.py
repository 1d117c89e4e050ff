"""What every value of a document keeps to, however it was written: it is JSON, not too deep, and not too large."""

import math
from typing import Any, Final

from perdure_control_plane.manifests.diagnostics import Diagnostic

MAX_DEPTH: Final = 32
"""Levels of lists and objects below the document."""

MAX_VALUES: Final = 50_000
"""Keys and values in all, each counted as often as the document repeats it."""

MAX_INTEGER: Final = 2**53 - 1
"""The largest whole number that every reader of JSON agrees on (RFC 8785)."""


class DocumentUnreadable(Exception):
    """The text is not a document that could be a manifest."""

    def __init__(self, path: str, code: str, reason: str) -> None:
        super().__init__(reason)
        self.diagnostic = Diagnostic(path, code, reason)


def integer(digits: str, base: int = 10) -> int:
    """The number that digits stand for; where it is too large anyway, one that is, since long numbers are slow to read."""
    return int(digits, base) if len(digits) < 100 else MAX_INTEGER + 1


def check_values(value: Any) -> None:
    """Raises DocumentUnreadable for the first value that may not stand in a document."""
    left = [MAX_VALUES]

    def check(value: Any, path: str, depth: int) -> None:
        left[0] -= 1
        check_count(MAX_VALUES - left[0])
        check_depth(path, depth)
        match value:
            case dict():
                for key, inner in value.items():
                    check(key, path, depth)
                    check(inner, below(path, key), depth + 1)
            case list():
                for index, inner in enumerate(value):
                    check(inner, f"{path}[{index}]", depth + 1)
            case str() if not _is_text(value):
                raise DocumentUnreadable(path, "NOT_CANONICAL", "a text holds half of a surrogate pair")
            case int() if abs(value) > MAX_INTEGER:
                raise DocumentUnreadable(path, "NOT_CANONICAL", "a whole number is beyond 2^53; write it as text")
            case float() if not math.isfinite(value):
                raise DocumentUnreadable(
                    path, "NOT_CANONICAL", "a number is infinite, beyond 1.8e308, or none at all; write it as text"
                )

    check(value, "", 0)


def check_depth(path: str, depth: int) -> None:
    """Raises DocumentUnreadable where a value stands too deep."""
    if depth > MAX_DEPTH:
        raise DocumentUnreadable(path, "TOO_DEEP", f"it is nested deeper than {MAX_DEPTH} levels")


def check_count(count: int) -> None:
    """Raises DocumentUnreadable where there are too many values."""
    if count > MAX_VALUES:
        raise DocumentUnreadable("", "TOO_LARGE", f"the document has more than {MAX_VALUES} keys and values")


def below(path: str, key: str) -> str:
    """The path of a field of an object."""
    return f"{path}.{key}" if path else key


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
