"""Fields that are declared to be secret: dotted paths into a JSON value, `*` for every key and every item."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from perdure.secrets.encrypted import is_encrypted
from perdure.secrets.references import ReferenceInvalid, is_reference, reference

Path = tuple[str, ...]

EVERY: Final = "*"
MAX_KEYS: Final = 16
"""Most keys of a path."""

_READING: Final = re.compile(r"\{\{\s*inputs((?:\.[A-Za-z_][A-Za-z0-9_]*)+)\s*\}\}")
"""A template that is one field of the input and nothing else."""


class PathInvalid(ValueError):
    """It is no path; the message says why."""


def path(text: str) -> Path:
    """Reads a path. Raises PathInvalid."""
    keys = tuple(text.split("."))
    if not all(key and (key == EVERY or EVERY not in key) for key in keys):
        raise PathInvalid("it is keys with dots between them, such as `db.password` or `rows.*.password`")
    if len(keys) > MAX_KEYS:
        raise PathInvalid(f"it has more than {MAX_KEYS} keys")
    return keys


def leads_to(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether a path leads to a field, or to something inside it, or to what the field is in."""
    return all(EVERY in (mine, theirs) or mine == theirs for mine, theirs in zip(one, other, strict=False))


def reads_alone(template: str, sensitive: Iterable[Path]) -> bool:
    """Whether a string with expressions is one field of the input that is declared to be secret, and nothing else.

    Only then is it known that no output of a node, and no other field, says which secret is meant.
    """
    found = _READING.fullmatch(template)
    if found is None:
        return False
    keys = tuple(found[1].split(".")[1:])
    return any(len(keys) == len(one) and leads_to(one, keys) for one in sensitive)


def fields(value: Any, keys: Sequence[str]) -> Iterator[tuple[Path, Any]]:
    """Every field that a path leads to, with its own path."""
    if not keys:
        yield (), value
        return
    for key, inner in _inside(value, keys[0]):
        for rest, found in fields(inner, keys[1:]):
            yield (key, *rest), found


def replaced(value: Any, keys: Sequence[str], by: Callable[[Any], Any]) -> Any:
    """The value with something else in each place that a path leads to; the value itself is not changed."""
    if not keys:
        return by(value)
    found = {key: replaced(inner, keys[1:], by) for key, inner in _inside(value, keys[0])}
    if isinstance(value, dict):
        return value | found
    return [found.get(str(place), inner) for place, inner in enumerate(value)] if isinstance(value, list) else value


def unreferenced(value: Any, sensitive: Iterable[Sequence[str]]) -> Iterator[tuple[Path, str]]:
    """Fields of an input that are declared to be secret and are neither references nor encrypted by themselves, each with
    what is wrong."""
    for keys in sensitive:
        for place, found in fields(value, keys):
            if found is not None and (fault := _fault(found)):
                yield place, fault


def _fault(found: Any) -> str:
    if is_encrypted(found):
        return ""
    if not is_reference(found):
        return "is declared to be secret: give a reference to it, such as secret://env/NAME, and never the value"
    try:
        reference(found)
    except ReferenceInvalid as invalid:
        return f"is no reference: {invalid}"
    return ""


def _inside(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((name, inner) for name, inner in value.items() if key in (EVERY, name))
    elif isinstance(value, list):
        yield from ((str(place), inner) for place, inner in enumerate(value) if key in (EVERY, str(place)))
