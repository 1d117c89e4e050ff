"""Everything that can be said of a manifest's text."""

from dataclasses import dataclass

from pydantic import ValidationError

from perdure.v1 import plans_pb2
from perdure_control_plane.manifests.checks import doubts, faults
from perdure_control_plane.manifests.compilation import compile_plan
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.document import DocumentUnreadable, read
from perdure_control_plane.manifests.model import Manifest


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


def review(text: bytes) -> Review:
    """Reads, checks and compiles a manifest; every fault is a diagnostic, none an exception."""
    try:
        document = read(text)
    except DocumentUnreadable as error:
        return Review("", (error.diagnostic,))
    playbook_id, version = str(document.values.get("playbook_id", "")), str(document.values.get("version", ""))
    try:
        manifest = Manifest.model_validate(document.values)
    except ValidationError as error:
        errors = tuple(_diagnostic(detail) for detail in error.errors())
        return Review(document.digest, errors, playbook_id=playbook_id, version=version)
    errors, warnings = tuple(faults(manifest)), tuple(doubts(manifest))
    plan = None if errors else compile_plan(manifest, document.digest)
    return Review(document.digest, errors, warnings, manifest, plan, playbook_id, version)


def _diagnostic(detail: object) -> Diagnostic:
    assert isinstance(detail, dict)
    path = ""
    for part in detail["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in _NODE_TYPES:
            path += f".{part}" if path else str(part)
    code = _CODES.get(detail["type"], "FIELD_VALUE")
    return Diagnostic(path, code, detail["msg"])


_NODE_TYPES = ("agentic", "deterministic", "function", "approval", "wait", "playbook", "map")
"""Words that the checker puts into a path to say which kind of node it took; the document has no such level."""

_CODES = {
    "missing": "FIELD_MISSING",
    "extra_forbidden": "FIELD_UNKNOWN",
    "string_pattern_mismatch": "ID_INVALID",
    "string_type": "FIELD_TYPE",
    "int_type": "FIELD_TYPE",
    "float_type": "FIELD_TYPE",
    "bool_type": "FIELD_TYPE",
    "list_type": "FIELD_TYPE",
    "dict_type": "FIELD_TYPE",
    "union_tag_invalid": "NODE_TYPE_UNKNOWN",
    "union_tag_not_found": "FIELD_MISSING",
}
