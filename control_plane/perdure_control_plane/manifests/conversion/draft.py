"""A manifest in the making, with what is said of how it came about."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.expressions import Template

MADE_VERSION: Final = "1.0.0"
"""The version that a converted playbook begins with."""
_LONGEST_ID: Final = 128


class NotConvertible(Exception):
    """Nothing can be made of the document."""

    def __init__(self, path: str, code: str, reason: str) -> None:
        super().__init__(reason)
        self.diagnostic = Diagnostic(path, code, reason)


@dataclass
class Draft:
    """What has been made so far. Paths of diagnostics are those of the document that is converted."""

    head: JsonObject = field(default_factory=dict)
    content: str = "request.content"
    """The expression that gives what the run is to do, in the words of whoever started it."""
    nodes: list[JsonObject] = field(default_factory=list)
    edges: list[JsonObject] = field(default_factory=list)
    handlers: list[JsonObject] = field(default_factory=list)
    losses: list[Diagnostic] = field(default_factory=list)
    """What is not in the manifest."""
    changes: list[Diagnostic] = field(default_factory=list)
    """What stands in the manifest in another form."""
    comments: dict[str, list[str]] = field(default_factory=dict)
    """By the id of a node, or the name of a field at the top, lines for whoever reads the manifest."""

    children: list["Draft"] = field(default_factory=list)
    """Playbooks that this one starts, each after those that it starts itself."""

    def lost(self, path: str, code: str, reason: str) -> None:
        """Something is not carried over."""
        self.losses.append(Diagnostic(path, code, reason))

    def changed(self, path: str, code: str, reason: str, place: str = "") -> None:
        """Something is carried over in another form; with a `place`, whoever reads the manifest is told there, too."""
        self.changes.append(Diagnostic(path, code, reason))
        if place:
            self.comments.setdefault(place, []).append(reason)

    def leftover(self, path: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
        """Everything of an object that nobody has looked at is lost."""
        for name in given.keys() - {*known}:
            self.lost(f"{path}.{name}" if path else name, "FIELD_UNKNOWN", f"nothing is known of the field {name!r}")

    def free_id(self, wanted: str) -> str:
        """An id that no node has."""
        taken = {node["id"] for node in self.nodes}
        number = 2
        found = wanted
        while found in taken:
            found, number = f"{wanted}_{number}", number + 1
        return found

    def manifest(self) -> JsonObject:
        """The manifest, in the order of its page."""
        parts: JsonObject = {**self.head, "nodes": self.nodes}
        parts |= {"edges": self.edges} if self.edges else {}
        return parts | ({"error_handlers": self.handlers} if self.handlers else {})


def fields(value: Any, path: str) -> JsonObject:
    """An object of the document. Raises NotConvertible."""
    if not isinstance(value, dict):
        raise NotConvertible(path, "FIELD_TYPE", "it must be an object")
    return value


def items(value: Any, path: str) -> list[Any]:
    """A list of the document; none where there is nothing. Raises NotConvertible."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise NotConvertible(path, "FIELD_TYPE", "it must be a list")
    return value


def word(value: Any) -> Any:
    """What something may be called; None for a list or an object, by which nothing is."""
    return None if isinstance(value, list | dict) else value


def number(value: Any, path: str) -> float:
    """A number of the document. Raises NotConvertible."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotConvertible(path, "FIELD_TYPE", "it must be a number") from error


def text(value: Any, path: str) -> str:
    """A text that is not empty. Raises NotConvertible."""
    if not isinstance(value, str) or not value.strip():
        raise NotConvertible(path, "FIELD_MISSING" if value is None else "FIELD_TYPE", "it must be text, and not empty")
    return value


def named(draft: Draft, value: str, path: str, taken: Collection[str] = ()) -> str:
    """A name as ids are written here, and that is not `taken`."""
    made = re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-")[:_LONGEST_ID] or "playbook"
    found, number = made, 2
    while found in taken:
        end = f"-{number}"
        found, number = f"{made[: _LONGEST_ID - len(end)]}{end}", number + 1
    if found != value:
        reason = f"ids here are letters, digits, '.', '_' and '-', {_LONGEST_ID} at most, and differ: {found}"
        draft.changed(path, "NAME_CHANGED", reason)
    return found


def readable(template: str) -> bool:
    """Whether the expressions in a text can be read here."""
    return not Template(template).faults
