"""What a request id was used for."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UsedRequest:
    """The method, a digest of what was asked, and the resource that answered it."""

    method: str
    digest: bytes
    resource: str


def request_digest(*parts: object) -> bytes:
    """A digest of what was asked. Parts are texts, bytes, numbers and nested tuples of them."""
    return hashlib.sha256(repr(parts).encode()).digest()
