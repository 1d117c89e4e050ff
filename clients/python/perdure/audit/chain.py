"""The chain: each sealed event is bound to all that were sealed before it, and signed heads say how far that was.

An event's hash is the SHA-256 over the hash before it, 32 bytes, and its canonical form; before the first stand 32 zero
bytes. The canonical form is the event as JSON by RFC 8785: members by name, no blanks, UTF-8. A head is signed over the line
`perdure audit head` and its own canonical form.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from perdure.audit.events import AuditEvent

NOTHING: Final = bytes(32)
"""What stands before the first event."""

_HEAD: Final = b"perdure audit head\n"


@dataclass(frozen=True, slots=True)
class SealedEvent:
    """An event in its place. Positions count from 1, without gaps."""

    event: AuditEvent
    position: int
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """How far the chain was at a time, signed with the Ed25519 key whose public part it names."""

    position: int
    hash: bytes
    signed_at: int
    public_key: bytes
    signature: bytes


def seal(event: AuditEvent, position: int, previous_hash: bytes) -> SealedEvent:
    """An event in the next place of the chain."""
    return SealedEvent(event, position, previous_hash, hash_of(event, position, previous_hash))


def hash_of(event: AuditEvent, position: int, previous_hash: bytes) -> bytes:
    """The hash of an event in a place."""
    content = canonical({**asdict(event), "details": dict(event.details), "position": position})
    return hashlib.sha256(previous_hash + content).digest()


def signed_content(position: int, hash: bytes, signed_at: int) -> bytes:
    """What the signature of a head is over."""
    return _HEAD + canonical({"position": position, "hash": hash.hex(), "signed_at": signed_at})


def canonical(document: Mapping[str, object]) -> bytes:
    """A document of texts, integers below 2^53, truth values and objects of texts, by RFC 8785. Names are ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
