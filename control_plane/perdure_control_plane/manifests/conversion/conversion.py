"""Converts a document: finds out what it is, makes a manifest of it, and checks that."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.children import ChildPlaybook, Reference
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
class Converted:
    """A manifest that was made, and its check."""

    text: bytes
    review: Review


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came of it. `text` is empty where nothing could be made; then `losses` say why.

    `children` are playbooks that the manifest starts, each after those that it starts itself.
    """

    source: SourceFormat | None
    text: bytes
    losses: tuple[Diagnostic, ...]
    changes: tuple[Diagnostic, ...] = ()
    review: Review | None = None
    children: tuple[Converted, ...] = ()


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
    head, known = _head(found, len(losses)), dict[Reference, ChildPlaybook]()
    *children, made = (_converted(one, head, known) for one in [*draft.children, draft])
    return Conversion(found, made.text, losses, changes, made.review, tuple(children))


def _converted(draft: Draft, head: str, known: dict[Reference, ChildPlaybook]) -> Converted:
    """Writes a manifest and checks it, as if those that are `known` were stored; adds it to them."""
    text = write(draft.manifest(), draft.comments, head)
    checked = review(text, known)
    if checked.plan is not None:
        stored = checked.plan.SerializeToString(deterministic=True)
        schema = json.loads(checked.plan.input_schema or b"{}")
        child = ChildPlaybook(checked.digest, hashlib.sha256(stored).digest(), checked.plan, schema, revoked=False)
        known[checked.playbook_id, checked.version] = child
    return Converted(text, checked)


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
