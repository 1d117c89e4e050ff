"""Everything that can be said of a manifest's text."""

from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from perdure.runlog.json_objects import JsonObject
from perdure.v1 import plans_pb2
from perdure_control_plane.manifests.checks import doubts, faults
from perdure_control_plane.manifests.children import NO_CHILDREN, Children, Reference, child_faults, references
from perdure_control_plane.manifests.compilation import compile_plan
from perdure_control_plane.manifests.diagnostics import WARNINGS, Diagnostic
from perdure_control_plane.manifests.document import read
from perdure_control_plane.manifests.model import Manifest
from perdure_control_plane.manifests.sound_parts import place_in_document, sound_parts
from perdure_control_plane.manifests.values import DocumentUnreadable, below
from perdure_control_plane.manifests.wording import reason

MAX_DIAGNOSTICS: Final = 200
"""Most faults, or doubts, that are listed."""

MAX_TEXT: Final = 1000
"""Longest text of a diagnostic, in characters."""


@dataclass(frozen=True, slots=True)
class Review:
    """The result of a review. `manifest` and `plan` are there where it has no errors; `digest` where it could be read."""

    digest: str
    errors: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...] = ()
    manifest: Manifest | None = None
    plan: plans_pb2.Plan | None = None
    playbook_id: str = ""
    version: str = ""
    references: tuple[Reference, ...] = ()
    """Versions that it starts as children."""

    @property
    def warning_codes(self) -> tuple[str, ...]:
        """Codes of its warnings, each once."""
        return tuple(sorted({warning.code for warning in self.warnings} & WARNINGS))


def review(text: bytes, children: Children = NO_CHILDREN) -> Review:
    """Reads, checks and compiles a manifest; every fault is a diagnostic, none an exception.

    `children` are the stored ones of the versions that it starts, found from the `references` of a first review.
    """
    try:
        document = read(text)
    except DocumentUnreadable as error:
        return Review("", _bounded([error.diagnostic]))
    playbook_id, version = (_word(document.values.get(field)) for field in ("playbook_id", "version"))
    try:
        manifest = Manifest.model_validate(document.values)
    except ValidationError as error:
        listed = error.errors(include_url=False)
        told = [_diagnostic(one["type"], one["loc"], one["msg"], one["input"]) for one in listed[:MAX_DIAGNOSTICS]]
        rest = _rest(document.values, error)
        errors = _bounded([*told, *rest], len(listed) + len(rest))
        return Review(document.digest, errors, playbook_id=playbook_id, version=version)
    found = [*faults(manifest), *child_faults(manifest, children)]
    errors, warnings = _bounded(found), _bounded(doubts(manifest))
    plan = None if errors else compile_plan(manifest, document.digest, children)
    named = references(manifest)
    return Review(document.digest, errors, warnings, manifest, plan, playbook_id, version, named)


def _rest(values: JsonObject, refused: ValidationError) -> list[Diagnostic]:
    """What is wrong between the parts that have their form. Children are looked at when all have."""
    left = sound_parts(values, refused)
    return left.faults_of(faults(left.manifest, ordered=left.ordered)) if left else []


def _word(value: object) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _bounded(found: list[Diagnostic], count: int | None = None) -> tuple[Diagnostic, ...]:
    """What is found, cut to what fits into an answer and into a person's head. `count` is how many there are in all."""
    more = (len(found) if count is None else count) - MAX_DIAGNOSTICS
    listed = [Diagnostic(_cut(one.path), one.code, _cut(one.reason)) for one in found[:MAX_DIAGNOSTICS]]
    if more > 0:
        listed.append(Diagnostic("", "MORE", f"there are {more} more; mend these first"))
    return tuple(listed)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _diagnostic(kind: str, location: tuple[int | str, ...], said: str, given: object) -> Diagnostic:
    place = place_in_document(kind, location)
    code = "FIELD_TYPE" if kind.endswith("_type") else _CODES.get(kind, "FIELD_VALUE")
    if kind == "string_pattern_mismatch" and location == ("title",):
        code = "FIELD_VALUE"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        if isinstance(given, dict):
            place.append("type")
        else:
            code = "FIELD_TYPE"
    path = ""
    for part in place:
        path = f"{path}[{part}]" if isinstance(part, int) else below(path, part)
    return Diagnostic(path, code, reason(kind, location, said, given))


_CODES = {
    "missing": "FIELD_MISSING",
    "extra_forbidden": "FIELD_UNKNOWN",
    "string_pattern_mismatch": "ID_INVALID",
    "union_tag_invalid": "NODE_TYPE_UNKNOWN",
    "union_tag_not_found": "FIELD_MISSING",
}
