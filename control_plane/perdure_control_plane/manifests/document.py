"""Reads a manifest's text as JSON values, and computes its digest."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import rfc8785
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from perdure_control_plane.manifests.diagnostics import Diagnostic

JsonObject = dict[str, Any]

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32


class DocumentUnreadable(Exception):
    """The text is not a document that could be a manifest."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.reason)
        self.diagnostic = diagnostic


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
        raise _unreadable("", "TOO_LARGE", f"the document has {len(text)} bytes; the limit is {MAX_BYTES}")
    values = _parse(text)
    if not isinstance(values, dict):
        raise _unreadable("", "DOCUMENT_UNREADABLE", "the document is not an object at its top level")
    _check_values(values, "", 0)
    try:
        canonical = rfc8785.dumps(values)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise _unreadable("", "NOT_CANONICAL", f"a value has no canonical JSON form: {error}") from error
    return Document(values, hashlib.sha256(canonical).hexdigest())


def _parse(text: bytes) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = False
    try:
        return yaml.load(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _unreadable("", "DOCUMENT_UNREADABLE", f"the document is not UTF-8: {error.reason}") from error
    except DuplicateKeyError as error:
        raise _unreadable("", "KEY_DUPLICATE", f"a key stands twice{_place(error)}") from error
    except ConstructorError as error:
        raise _unreadable("", "DOCUMENT_UNREADABLE", f"a tag is not allowed{_place(error)}: {error.problem}") from error
    except MarkedYAMLError as error:
        raise _unreadable("", "DOCUMENT_UNREADABLE", f"{error.problem}{_place(error)}") from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise _unreadable("", "DOCUMENT_UNREADABLE", f"the document cannot be read: {error}") from error


def _place(error: MarkedYAMLError) -> str:
    mark = error.problem_mark
    return f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


def _check_values(value: Any, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _unreadable(path, "TOO_DEEP", f"it is nested deeper than {MAX_DEPTH} levels")
    match value:
        case dict():
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise _unreadable(path, "KEY_NOT_TEXT", f"the key {key!r} is not text; quote it")
                _check_values(inner, f"{path}.{key}" if path else key, depth + 1)
        case list():
            for index, inner in enumerate(value):
                _check_values(inner, f"{path}[{index}]", depth + 1)
        case None | bool() | int() | float() | str():
            pass
        case _:
            raise _unreadable(path, "NOT_JSON", f"{value!s} is no JSON value; quote it to make it text")


def _unreadable(path: str, code: str, reason: str) -> DocumentUnreadable:
    return DocumentUnreadable(Diagnostic(path, code, reason))
