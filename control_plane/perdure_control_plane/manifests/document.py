"""Reads a manifest's text as JSON values, and computes its digest."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

import rfc8785

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.values import DocumentUnreadable, check_values, integer
from perdure_control_plane.manifests.yaml_text import read_yaml

MAX_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Document:
    """A document's values and the digest of their canonical JSON (RFC 8785), in hexadecimal.

    The digest covers the document as it was written, but for layout, comments and the choice between YAML and JSON;
    defaults are not part of it, so that a new default never changes an old digest.
    """

    values: JsonObject
    digest: str


def read(text: bytes) -> Document:
    """Reads YAML 1.2, of which JSON is a part. Raises DocumentUnreadable."""
    if len(text) > MAX_BYTES:
        raise DocumentUnreadable("", "TOO_LARGE", f"the document has {len(text)} bytes; the limit is {MAX_BYTES}")
    values = _parse(text)
    if not isinstance(values, dict):
        raise DocumentUnreadable("", "DOCUMENT_UNREADABLE", "the document is not an object at its top level")
    check_values(values)
    return Document(values, hashlib.sha256(rfc8785.dumps(values)).hexdigest())


def _parse(text: bytes) -> Any:
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        reason = f"the document is not UTF-8: {error.reason} at byte {error.start}"
        raise DocumentUnreadable("", "DOCUMENT_UNREADABLE", reason) from error
    try:
        return json.loads(decoded, object_pairs_hook=_fields, parse_int=integer, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        # Not JSON, or not as strict as a manifest is: read as YAML it has the same meaning, or a fault with its place.
        return read_yaml(decoded)


def _fields(pairs: list[tuple[str, Any]]) -> JsonObject:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")
