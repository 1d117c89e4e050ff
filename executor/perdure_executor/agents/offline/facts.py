"""What a file says of itself, in a few words."""

import json
import pathlib
import re
import tomllib
from collections.abc import Callable, Iterable
from typing import Any, Final

MOST_NAMED: Final = 8
"""Headings, targets and the like that are named of one file."""

LONGEST: Final = 160
"""Characters of one thing that is repeated from a file."""


def facts(path: str, text: str) -> list[str]:
    """What matters in a file whose kind is known, and of any other its first line."""
    name = pathlib.PurePosixPath(path).name.lower()
    for pattern, read in _READERS:
        if re.fullmatch(pattern, name):
            try:
                found = read(text)
            except ValueError:  # not what its name says, or only the start of it is here
                found = []
            return [_short(fact) for fact in found] or _first_line(text)
    return _first_line(text)


def _markdown(text: str) -> list[str]:
    headings = re.findall(r"^(#{1,2})\s+(.+?)\s*#*$", text, re.MULTILINE)
    titles = [title for level, title in headings if level == "#"]
    sections = [title for level, title in headings if level == "##"]
    first = titles[:1] or _first_line(text)
    return [*(f"“{title.strip('“”')}”" for title in first), *_named("sections", sections)]


def _toml(text: str) -> list[str]:
    document = tomllib.loads(text)
    table = document.get("project") or document.get("package") or document.get("tool", {}).get("poetry") or {}
    return _fields(table) + _named("tables", document)


def _json(text: str) -> list[str]:
    document = json.loads(text)
    if not isinstance(document, dict):
        return [f"a list of {len(document)}"] if isinstance(document, list) else []
    return _fields(document) + _named("scripts", document.get("scripts", {})) + _named("keys", document)


def _fields(table: dict[str, Any]) -> list[str]:
    wanted = ("name", "version", "description", "requires-python", "license")
    return [f"{key} {table[key]!r}" for key in wanted if isinstance(table.get(key), str)]


def _makefile(text: str) -> list[str]:
    return _named("targets", re.findall(r"^([A-Za-z0-9][\w.-]*)\s*:(?!=)", text, re.MULTILINE))


def _dockerfile(text: str) -> list[str]:
    return _named("from", re.findall(r"^FROM\s+(\S+)", text, re.MULTILINE))


def _requirements(text: str) -> list[str]:
    return _named("packages", re.findall(r"^([A-Za-z][\w.-]*)", text, re.MULTILINE))


def _go_module(text: str) -> list[str]:
    return re.findall(r"^((?:module|go)\s+\S+)", text, re.MULTILINE)


_READERS: Final[tuple[tuple[str, Callable[[str], list[str]]], ...]] = (
    (r".+\.(md|markdown)", _markdown),
    (r".+\.toml", _toml),
    (r".+\.json", _json),
    (r"(gnu)?makefile", _makefile),
    (r"(.+\.)?(dockerfile|containerfile)", _dockerfile),
    (r"requirements.*\.txt", _requirements),
    (r"go\.mod", _go_module),
)


def _named(what: str, names: Iterable[str]) -> list[str]:
    listed = list(dict.fromkeys(names))
    if not listed:
        return []
    more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return [f"{what}: {', '.join(listed[:MOST_NAMED])}{more}"]


def _first_line(text: str) -> list[str]:
    return [_short(line.strip()) for line in text.split("\n") if line.strip()][:1]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
