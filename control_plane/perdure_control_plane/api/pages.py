"""Pages of lists: sizes within bounds, and tokens that are bound to the request they were made for."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from perdure_control_plane.domain.errors import PageTokenInvalid, field_invalid
from perdure_control_plane.domain.limits import Limits

T = TypeVar("T")
M = TypeVar("M", bound=Message)

_MAC_LENGTH: Final = 16

_UNBOUND: Final = frozenset({"page_token", "page_size", "resume_token", "snapshot"})
"""Fields of a request that may be others when it goes on."""


class Pages:
    """Reads and makes page tokens. Any server with the same secret accepts them, before and after a restart."""

    def __init__(self, secret: bytes, limits: Limits) -> None:
        self._secret = hashlib.sha256(b"page tokens" + secret).digest()
        self._limits = limits

    def size(self, asked: int) -> int:
        """The page size for what was asked: the default for 0, cut to the ceiling. Raises FieldInvalid if negative."""
        if asked < 0:
            raise field_invalid("page_size", "is negative")
        return min(asked or self._limits.default_page_size, self._limits.max_page_size)

    def position(self, request: Any) -> Any:
        """Where the request's token goes on; None where it has none. Raises PageTokenInvalid."""
        try:
            return self._read(request, request.page_token) if request.page_token else None
        except ValueError as error:
            raise PageTokenInvalid from error

    def cursor(self, request: Any) -> Any:
        """Where the request's resume token goes on; None where it has none. Raises FieldInvalid."""
        try:
            return self._read(request, request.resume_token) if request.resume_token else None
        except ValueError as error:
            description = "unknown, or made for other arguments; begin again without it, and ask for a snapshot"
            raise field_invalid("resume_token", description) from error

    def _read(self, request: Any, token: str) -> Any:
        """What a token says. Raises ValueError."""
        raw = base64.urlsafe_b64decode(token.encode("ascii"))
        mac, text = raw[:_MAC_LENGTH], raw[_MAC_LENGTH:]
        if not hmac.compare_digest(mac, self._mac(request, text)):
            raise ValueError
        return json.loads(text)

    def token(self, request: Any, position: Any) -> str:
        """A token by which the same request goes on at a position."""
        text = json.dumps(position).encode()
        return base64.urlsafe_b64encode(self._mac(request, text) + text).decode("ascii")

    def page(
        self,
        request: Any,
        found: Sequence[T],
        size: int,
        position: Callable[[T], Any],
        message: Callable[[T], M],
    ) -> tuple[list[M], str]:
        """The messages of a page, and the token of the next: empty where fewer were found than asked for.

        A page ends before the item with which it would be larger than a page of events may be.
        """
        messages: list[M] = []
        total = 0
        for index, item in enumerate(found):
            made = message(item)
            total += made.ByteSize()
            if messages and total > self._limits.max_page_bytes:
                return messages, self.token(request, position(found[index - 1]))
            messages.append(made)
        return messages, self.token(request, position(found[-1])) if len(found) == size else ""

    def _mac(self, request: Message, text: bytes) -> bytes:
        bound = type(request)()
        bound.CopyFrom(request)
        for field in _UNBOUND.intersection(bound.DESCRIPTOR.fields_by_name):
            bound.ClearField(field)
        name = type(request).DESCRIPTOR.full_name.encode()
        content = name + b"\n" + bound.SerializeToString(deterministic=True) + b"\n" + text
        return hmac.new(self._secret, content, hashlib.sha256).digest()[:_MAC_LENGTH]
