"""Converts a document: finds out what it is, makes a manifest of it, and checks that."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.conversion import cantbook, workflow
from perdure_control_plane.manifests.conversion.draft import Draft, NotConvertible
from perdure_control_plane.manifests.conversion.yaml_writing import write
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.document import read
from perdure_control_plane.manifests.review import Review, review
from perdure_control_plane.manifests.values import DocumentUnreadable


class SourceFormat(StrEnum):
    """What a document may be written in."""

    CANTBOOK = "cantbook"
    WORKFLOW = "workflow"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came of it. `text` is empty where nothing could be made; then `losses` say why."""

    source: SourceFormat | None
    text: bytes
    losses: tuple[Diagnostic, ...]
    changes: tuple[Diagnostic, ...] = ()
    review: Review | None = None


def convert(text: bytes, source: SourceFormat | None) -> Conversion:
    """Makes a manifest. `source` says what the document is; None finds it out. Raises nothing for a faulty document."""
    found = source
    try:
        values = read(text).values
        found = found or _format(values)
        draft = _CONVERTERS[found](values)
    except (DocumentUnreadable, NotConvertible) as error:
        return Conversion(found, b"", (error.diagnostic,))
    losses, changes = _in_order(draft.losses), _in_order(draft.changes)
    made = write(draft.manifest(), draft.comments, _head(found, len(losses)))
    return Conversion(found, made, losses, changes, review(made))


_CONVERTERS: Final[dict[SourceFormat, Callable[[JsonObject], Draft]]] = {
    SourceFormat.CANTBOOK: cantbook.convert,
    SourceFormat.WORKFLOW: workflow.convert,
}


def _format(values: JsonObject) -> SourceFormat:
    if "workflow" in values or "agent" in values or "components" in values:
        return SourceFormat.WORKFLOW
    if values.get("version") == "1.0" and "nodes" in values:
        return SourceFormat.CANTBOOK
    reason = 'it is neither a cantbook (version "1.0", nodes) nor a workflow spec (agent, workflow); say which it is'
    raise NotConvertible("", "FORMAT_UNKNOWN", reason)


def _head(source: SourceFormat, losses: int) -> str:
    lost = f"; {losses} {'thing' if losses == 1 else 'things'} could not be carried over" if losses else ""
    return f"Converted from a {source.value}{lost}."


def _in_order(found: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(dict.fromkeys(found), key=lambda one: (one.path, one.code)))
