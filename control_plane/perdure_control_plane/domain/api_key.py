"""Keys by which callers say who they are: what is kept of one, and what its text is.

A text is `perdure_ID_SECRET`: words by which people and scanners know it, the id by which the server finds the key, and a
secret of 256 bits. Kept is a keyed hash, made with a secret that is not in the store: who reads the store cannot call, and
who can write to it cannot make a key.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from perdure_control_plane.domain.errors import CallerFault, Unauthenticated
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.roles import Role

PREFIX: Final = "perdure"
_TEXT: Final = re.compile(rf"{PREFIX}_([0-9a-f]{{16}})_[0-9a-f]{{64}}")

_BEGUN: Final = re.compile(rf"{PREFIX}_[0-9a-f]{{16}}_", re.IGNORECASE)

USUAL_OVERLAP: Final = 3600 * SECOND
"""How long the text before is good, too, where nobody says."""


KEYS: Final = "keys/"
"""What principals begin with that are keys."""


class KeyState(StrEnum):
    """Whether a key is good."""

    LIVE = "LIVE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. Times are microseconds since 1970, and 0 is never."""

    key_id: str
    key_name: str
    role: Role
    digest: bytes
    created_at: int
    created_by: Principal
    expires_at: int
    rotated_at: int
    previous_digest: bytes
    """Of the text before; empty where there is none."""
    previous_until: int
    revoked_at: int
    revoked_by: Principal

    @property
    def name(self) -> str:
        """As the API names it."""
        return KEYS + self.key_name

    def state(self, now: int) -> KeyState:
        """Whether it is good at a time."""
        if self.revoked_at:
            return KeyState.REVOKED
        return KeyState.EXPIRED if 0 < self.expires_at <= now else KeyState.LIVE

    def check(self, digest: bytes, now: int) -> None:
        """Raises Unauthenticated unless the text with this digest is good at a time; takes as long for any digest."""
        is_current = hmac.compare_digest(self.digest, digest)
        is_previous = hmac.compare_digest(self.previous_digest.ljust(len(digest), b"\0"), digest)
        if not is_current and not (is_previous and now < self.previous_until):
            raise Unauthenticated(CallerFault.UNKNOWN)
        state = self.state(now)
        if state is not KeyState.LIVE:
            raise Unauthenticated(CallerFault(state.value.lower()))

    def rotated(self, digest: bytes, overlap: int, expires_at: int, now: int) -> "ApiKey":
        """With a new text, beside which the one before is good for a while."""
        return replace(
            self,
            digest=digest,
            expires_at=expires_at,
            rotated_at=now,
            previous_digest=self.digest,
            previous_until=now + overlap,
        )


class KeyTexts:
    """Makes texts of keys and their hashes, with a secret of the server's own."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def new(self, key_id: str) -> str:
        """A new text for a key."""
        return f"{PREFIX}_{key_id}_{secrets.token_hex(32)}"

    def digest(self, text: str) -> bytes:
        """What is kept of a text."""
        return hmac.new(self._secret, text.encode(), hashlib.sha256).digest()


def new_key_id() -> str:
    """A new key's id."""
    return secrets.token_hex(8)


def holds_key_text(text: str) -> bool:
    """Whether there is something like the text of a key in it, or a good part of one, which is to be shown nowhere."""
    return _BEGUN.search(text) is not None


def key_id_of(text: str) -> str:
    """The id in a key's text. Raises Unauthenticated where it is none."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise Unauthenticated(CallerFault.UNREADABLE)
    return match[1]
