"""Whether something is written as a schema is, in words that two readers cannot understand in two ways."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from jsonschema_rs import Draft202012Validator

VERSION: Final = "https://json-schema.org/draft/2020-12/schema"
"""What a schema of this version may name as its own, under `$schema`."""

_SCHEMAS: Final = Draft202012Validator({"$ref": VERSION}, offline=True, mask="it")
"""What every schema of this version is like. The library brings it along."""

_ADDRESSES: Final = ("$id", "$schema")
"""Keywords that say by which names, and by which rules, what stands inside is read."""

_ANCHORS: Final = ("$anchor", "$dynamicAnchor")


class AmbiguousNames(Exception):
    """Two readers may find different things where a schema refers to something; the message says why."""


class OtherVersion(Exception):
    """A schema says that it is of another version, whose words may mean something else; the message says which."""


def check_form(schema: Any) -> None:
    """Raises ValidationError for what is no schema, OtherVersion and AmbiguousNames."""
    _SCHEMAS.validate(schema)
    named = schema.get("$schema", VERSION) if isinstance(schema, dict) else VERSION
    if named not in (VERSION, f"{VERSION}#"):
        raise OtherVersion(f"it is read as {VERSION}, and says that it is {named[:100]!r}: say the first, or nothing")
    anchors = Counter[str]()
    for depth, one in _objects(schema):
        for word in _ADDRESSES if depth else ():
            if isinstance(one.get(word), str):
                raise AmbiguousNames(f"{word} stands inside it; only a whole schema has one")
        anchors.update(one[word] for word in _ANCHORS if isinstance(one.get(word), str))
    for anchor, times in anchors.items():
        if times > 1:
            raise AmbiguousNames(f"the anchor {anchor!r} is there {times} times")


def is_schema(value: Any) -> bool:
    """Whether a part of a schema, to which another part refers, is one as well."""
    return _SCHEMAS.is_valid(value)


def _objects(schema: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Everything in it that could be a subschema, with its depth."""
    waiting = [(0, schema)]
    while waiting:
        depth, one = waiting.pop()
        if isinstance(one, dict):
            yield depth, one
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        waiting += ((depth + 1, each) for each in inner)
