"""Reads YAML as the JSON values it stands for, by the core schema of YAML 1.2 and nothing else.

Tags, merge keys and further documents are refused: each would make the text mean something that it does not say.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from perdure_control_plane.manifests.values import DocumentUnreadable, below, check_count, check_depth, integer


def read_yaml(text: str) -> Any:
    """The values of the one document in a text; None where it has none. Raises DocumentUnreadable."""
    try:
        return _Composer(YAML(typ="safe", pure=True).parse(text)).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise _unreadable(f"{error.problem}{place}") from error
    except (YAMLError, ValueError, OverflowError) as error:
        raise _unreadable(f"the document cannot be read: {error}") from error


class _Composer:
    """Makes values of the parser's events while they come, so that what goes too far is not read to its end."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._anchors: dict[str, tuple[Any, int]] = {}
        """Finished values by their anchors, each with how many values it is."""
        self._count = 0

    def document(self) -> Any:
        next(self._events)
        start = next(self._events)
        if isinstance(start, StreamEndEvent):
            return None
        assert isinstance(start, DocumentStartEvent)
        if start.version not in (None, (1, 2)):
            raise _unreadable("the document asks for another YAML than 1.2; remove the %YAML line")
        value = self._value(next(self._events), "", 0)
        next(self._events)
        if not isinstance(next(self._events), StreamEndEvent):
            raise _unreadable("the text holds several documents; a playbook is one")
        return value

    def _value(self, event: Event, path: str, depth: int) -> Any:
        before = self._count
        self._take(1)
        check_depth(path, depth)
        if isinstance(event, AliasEvent):
            return self._repeated(event, path)
        assert isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent)
        if event.tag is not None:
            raise DocumentUnreadable(
                path, "NOT_JSON", f"the tag {event.tag} is not read; quote a value to make it text"
            )
        value = self._untagged(event, path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._count - before)
        return value

    def _untagged(self, event: ScalarEvent | SequenceStartEvent | MappingStartEvent, path: str, depth: int) -> Any:
        match event:
            case ScalarEvent():
                return _plain(event.value) if event.style is None else event.value
            case SequenceStartEvent():
                return self._list(path, depth)
            case MappingStartEvent():
                return self._object(path, depth)

    def _list(self, path: str, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, f"{path}[{len(items)}]", depth + 1))
        return items

    def _object(self, path: str, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event, path)
            if key in fields:
                place = f"line {event.start_mark.line + 1}"
                raise DocumentUnreadable(
                    below(path, key), "KEY_DUPLICATE", f"the key stands here twice; again in {place}"
                )
            fields[key] = self._value(next(self._events), below(path, key), depth + 1)
        return fields

    def _key(self, event: Event, path: str) -> str:
        self._take(1)
        if not isinstance(event, ScalarEvent) or event.tag is not None or event.anchor is not None:
            raise DocumentUnreadable(path, "KEY_NOT_TEXT", "a key is not plain text")
        key = _plain(event.value) if event.style is None else event.value
        if not isinstance(key, str):
            raise DocumentUnreadable(path, "KEY_NOT_TEXT", f"the key {event.value} is not text; quote it")
        if event.style is None and key == "<<":
            raise DocumentUnreadable(path, "NOT_JSON", "YAML 1.2 has no merge key `<<`; write the fields out")
        return key

    def _repeated(self, event: AliasEvent, path: str) -> Any:
        if event.anchor not in self._anchors:
            raise _unreadable(f"{path}: *{event.anchor} repeats nothing that is finished before it")
        value, count = self._anchors[event.anchor]
        self._take(count - 1)
        return value

    def _take(self, count: int) -> None:
        self._count += count
        check_count(self._count)


def _plain(text: str) -> Any:
    """The value of a scalar without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return integer(text)
    if _BASED.fullmatch(text):
        return integer(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _unreadable(reason: str) -> DocumentUnreadable:
    return DocumentUnreadable("", "DOCUMENT_UNREADABLE", reason)


_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((f"{sign}{word}" for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")), math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
