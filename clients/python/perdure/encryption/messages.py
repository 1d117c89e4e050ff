"""What of requests is encrypted before they are sent, and what of answers is opened when they are shown."""

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from perdure.encryption.codec import CannotDecrypt, Codec
from perdure.secrets.encrypted import MARK, SCHEME

M = TypeVar("M", bound=Message)

OBJECTS: Final = frozenset({
    ("FlowRequest", "input"), ("SignalRunRequest", "payload"), ("ResolveEffectRequest", "output"),
})  # fmt: skip
"""Messages, and their fields with a JSON object: each field of that is encrypted by itself."""

VALUES: Final = frozenset({("DecideApprovalRequest", "content")})
"""Messages, and their fields with JSON of any kind."""

TEXTS: Final = frozenset({("FlowRequest", "content")})
"""Messages, and their fields with text."""


def sealed_request(request: M, codec: Codec) -> M:
    """A request with what it gives to work encrypted; the request itself where there is nothing to encrypt."""
    if not codec.encrypts or not any(_sealable(request)):
        return request
    sealed = type(request)()
    sealed.CopyFrom(request)
    for message, field in list(_sealable(sealed)):
        setattr(message, field, _sealed(message, field, codec))
    return sealed


def opened_message(message: M, codec: Codec, closed: Callable[[CannotDecrypt], None]) -> M:
    """A message with everything that is encrypted in it opened, for being shown: its digests are not of what it has then.

    What cannot be opened stays as it is, and `closed` is told why.
    """
    if MARK not in message.SerializeToString():
        return message
    opened = type(message)()
    opened.CopyFrom(message)
    _open(opened, codec, closed)
    return opened


def opened_content(content: bytes, codec: Codec, closed: Callable[[CannotDecrypt], None]) -> bytes:
    """JSON, lines of output, or text, with what is encrypted in it opened."""
    if MARK not in content:
        return content
    try:
        return json.dumps(codec.opened(json.loads(content)), separators=(",", ":"), ensure_ascii=False).encode()
    except CannotDecrypt as error:
        closed(error)
        return content
    except ValueError:  # it is no JSON, but pieces of output, one a line
        return b"".join(_opened_line(line, codec, closed) for line in content.splitlines(keepends=True))


def _opened_line(line: bytes, codec: Codec, closed: Callable[[CannotDecrypt], None]) -> bytes:
    if not line.startswith(MARK):
        return line
    try:
        return str(codec.open(line.decode().strip())).encode("latin-1")
    except CannotDecrypt as error:
        closed(error)
        return line


def _open(message: Message, codec: Codec, closed: Callable[[CannotDecrypt], None]) -> None:
    for field, value in list(message.ListFields()):
        if field.message_type is not None:
            for inner in _messages(field, value):
                _open(inner, codec, closed)
        elif field.is_repeated:
            value[:] = [_opened(one, codec, closed) for one in value]
        else:
            setattr(message, field.name, _opened(value, codec, closed))


def _messages(field: FieldDescriptor, value: Any) -> Iterable[Message]:
    if field.message_type is None or field.message_type.GetOptions().map_entry:
        return ()
    return cast("Iterable[Message]", value) if field.is_repeated else (value,)


def _opened(value: Any, codec: Codec, closed: Callable[[CannotDecrypt], None]) -> Any:
    if isinstance(value, bytes):
        return opened_content(value, codec, closed)
    if not isinstance(value, str) or SCHEME not in value:
        return value
    try:
        return codec.open_text(value)
    except CannotDecrypt as error:
        closed(error)
        return value


def _sealable(message: Message) -> Iterable[tuple[Message, str]]:
    """Every field that is encrypted, where there is anything in it."""
    for field, value in message.ListFields():
        if (message.DESCRIPTOR.name, field.name) in OBJECTS | VALUES | TEXTS:
            yield message, field.name
        elif field.message_type is not None:
            for inner in _messages(field, value):
                yield from _sealable(inner)


def _sealed(message: Message, field: str, codec: Codec) -> Any:
    value, place = getattr(message, field), (message.DESCRIPTOR.name, field)
    if place in TEXTS:
        return codec.sealed(value)
    try:
        parsed = json.loads(value)
    except ValueError:
        return value  # the server says what is wrong with it
    sealed = codec.sealed(parsed) if place in VALUES or not isinstance(parsed, dict) else codec.sealed_fields(parsed)
    return json.dumps(sealed).encode()
