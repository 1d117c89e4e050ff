"""What is left of a manifest whose form has faults, so that what else is wrong with it can be told at the same time.

A part that has not its form is put aside, and something that says nothing stands in its place: every other part keeps
its path.
"""

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.model import Manifest

_REQUIRED: Final = {"playbook_id": "aside", "version": "0", "title": "aside", "objective": "aside"}

_PARTS: Final[dict[str, JsonObject]] = {
    "nodes": {"type": "approval", "prompt": "aside"},
    "edges": {"from": "", "to": ""},
    "error_handlers": {"action": "fail"},
}
"""What stands in the place of an item of each list that other parts of the document speak of."""


@dataclass(frozen=True, slots=True)
class SoundParts:
    """The rest of a manifest."""

    manifest: Manifest
    aside: frozenset[str]
    """Paths of what was put aside."""
    ordered: bool
    """Whether all that says in which order the nodes come is among the rest."""

    def faults_of(self, found: Iterable[Diagnostic]) -> list[Diagnostic]:
        """Those of what was found that are faults of the document, and not of what stands in for another part."""
        return [one for one in found if self._part_of(one.path) not in self.aside]

    def _part_of(self, path: str) -> str:
        words = re.match(r"\w+(\[\d+\])?", path)
        return words[0] if words and path.partition("[")[0] in _PARTS else path.partition("[")[0].partition(".")[0]


def sound_parts(values: JsonObject, refused: ValidationError) -> SoundParts | None:
    """What is left without the parts that were refused; None where nothing can be told without them."""
    left, aside = copy.deepcopy(values), set[tuple[str, int | None]]()
    for fault in refused.errors(include_url=False):
        if fault["type"] == "extra_forbidden":
            _leave_out(left, place_in_document(fault["type"], fault["loc"]))
        else:
            aside.add(_part(fault["loc"]))
    for field, index in aside:
        if index is not None:
            left[field][index] = _stand_in(field, left[field][index])
        elif field in _REQUIRED:
            left[field] = _REQUIRED[field]
        else:
            left.pop(field)
    ordered = all(field != "edges" for field, _ in aside)
    try:
        manifest = Manifest.model_validate(left)
    except ValidationError:
        return None
    paths = frozenset(field if index is None else f"{field}[{index}]" for field, index in aside)
    return None if "nodes" in paths else SoundParts(manifest, paths, ordered)


def place_in_document(kind: str, location: tuple[int | str, ...]) -> list[int | str]:
    """Where in the document a fault is: without the words that the checker puts in for the kind of node or inputs."""
    place = list(location)
    if place[-1] == "[key]" and kind == "string_pattern_mismatch":
        place.pop()
    if place[0] == "nodes":
        if place[2:4] == ["map", "node"]:
            del place[4:5]
        del place[2:3]
    elif place[0] == "inputs":
        del place[1:2]
    return place


def _leave_out(values: JsonObject, place: list[int | str]) -> None:
    holder: Any = values
    for step in place[:-1]:
        holder = holder[step]
    holder.pop(place[-1])


def _part(location: tuple[int | str, ...]) -> tuple[str, int | None]:
    field = str(location[0])
    index = location[1] if field in _PARTS and len(location) > 1 else None
    return field, index if isinstance(index, int) else None


def _stand_in(field: str, part: Any) -> Any:
    """A part that says nothing; of a node it keeps who it is, and what it comes after."""
    kept = ("id", "depends") if field == "nodes" and isinstance(part, dict) else ()
    return {**_PARTS[field], **{key: part[key] for key in kept if key in part}}
