"""The request file of `flows start --request-file`: what a flow is started with, as JSON from elsewhere.

Every key that such files have is known. Those that mean something here are mapped; the others are accepted where they
are empty and refused by name where they are set, so that nothing that somebody asked for is dropped without a word.
"""

import json
import pathlib
from typing import Final

import typer

from perdure.cli.json_text import json_object, named, read_text
from perdure.runlog.json_objects import JsonObject, is_deeper
from perdure.v1.flows_pb2 import FlowRequest, RequestSource

OPTION: Final = "--request-file"

TEXTS: Final = ("provider", "content")
SOURCE_TEXTS: Final = ("source_plugin", "source_kind", "actor_id")
OBJECTS: Final = ("metadata", "input")
UNSUPPORTED: Final = (
    "input_items",
    "attachments",
    "generation",
    "binding_keys",
    "reply_targets",
    "reply_plugin",
    "reply_address",
)
"""Keys that are known, and may only be empty."""

METADATA_DEPTH: Final = 16
"""Most levels of metadata: it is sent as messages inside each other, of which there are three for a level."""


def read_request_file(path: pathlib.Path) -> FlowRequest:
    """The request in a file. Raises BadParameter, naming the key at fault."""
    return request_from(json_object(read_text(path, OPTION), OPTION, named(path)))


def request_from(document: JsonObject) -> FlowRequest:
    """The request in a document. Raises BadParameter, naming the key at fault."""
    known = (*TEXTS, *SOURCE_TEXTS, *OBJECTS)
    for key, value in document.items():
        if key in UNSUPPORTED and value not in (None, "", [], {}):
            raise _fault(key, "is not supported here; leave it out, or empty")
        if key not in known and key not in UNSUPPORTED:
            raise _fault(key, f"is not known; the keys are {', '.join(known)}")
    texts = {key: _text(document, key) for key in (*TEXTS, *SOURCE_TEXTS)}
    request = FlowRequest(
        content=texts["content"],
        provider=texts["provider"],
        source=RequestSource(**{key: texts[key] for key in SOURCE_TEXTS}),
    )
    request.metadata.update(_metadata(document))
    if document.get("input") is not None:
        request.input = json.dumps(_object(document, "input")).encode()
    return request


def _text(document: JsonObject, key: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _fault(key, "is not text")
    return value


def _object(document: JsonObject, key: str) -> JsonObject:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _fault(key, "is not an object")
    return value


def _metadata(document: JsonObject) -> JsonObject:
    metadata = _object(document, "metadata")
    if is_deeper(metadata, METADATA_DEPTH):
        raise _fault("metadata", f"is nested more than {METADATA_DEPTH} levels deep")
    return metadata


def _fault(key: str, description: str) -> typer.BadParameter:
    return typer.BadParameter(f"{key!r} {description}", param_hint=f"'{OPTION}'")
