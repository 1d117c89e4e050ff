"""Encrypts JSON values, and opens them again.

The same value under the same key is always the same text, so that a request that is repeated is the same request, and
what was frozen can be compared; the nonce is made of the value. Whoever sees two texts sees whether the values are equal.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from perdure.secrets.encrypted import MARK, SCHEME, TEXT, is_encrypted
from perdure.secrets.paths import leads_to
from perdure.secrets.references import is_reference

KEY_BYTES: Final = 32

_FORM: Final = b"\x01"
_NONCE_BYTES: Final = 12


class CannotDecrypt(Exception):
    """A value is encrypted and cannot be opened; the message names the id of the key, and what to do."""

    def __init__(self, key_id: str, why: str) -> None:
        super().__init__(f"it is encrypted with the key {key_id}, {why}")
        self.key_id: Final = key_id


@dataclass(frozen=True, slots=True)
class Codec:
    """Keys by id. It encrypts with the current one; without one it encrypts nothing, and opens what it has keys for."""

    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    current: str = ""
    where: str = "the key file"
    """What whoever lacks a key should add it to."""

    def __hash__(self) -> int:
        return id(self)

    @property
    def encrypts(self) -> bool:
        """Whether what is written is encrypted."""
        return bool(self.current)

    def sealed(self, value: Any) -> Any:
        """A value, encrypted. What is encrypted or a reference to a secret already stays as it is, and so does null.

        Raises TypeError and ValueError for what has no JSON form.
        """
        if not self.encrypts or value is None or is_encrypted(value) or is_reference(value):
            return value
        return self._seal(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())

    def sealed_fields(self, values: dict[str, Any], plain: Sequence[str] = ()) -> dict[str, Any]:
        """An object with each field encrypted by itself: who has no key sees which there are, and can merge them."""
        return {key: value if key in plain else self.sealed(value) for key, value in values.items()}

    def opened(self, value: Any, closed: Sequence[Sequence[str]] = ()) -> Any:
        """A JSON value with everything in it opened, but for what these paths lead to. Raises CannotDecrypt.

        What is opened is not looked into again: what was encrypted twice is opened as often as somebody asks.
        """
        if () in map(tuple, closed):
            return value
        match value:
            case str() if is_encrypted(value):
                return self.open(value)
            case dict():
                return {key: self.opened(inner, _below(closed, key)) for key, inner in value.items()}
            case list():
                return [self.opened(inner, _below(closed, str(place))) for place, inner in enumerate(value)]
            case _:
                return value

    def read(self, content: bytes, closed: Sequence[Sequence[str]] = ()) -> Any:
        """The JSON value that bytes hold, opened. Raises CannotDecrypt."""
        value = json.loads(content)
        return self.opened(value, closed) if MARK in content else value

    def open_text(self, text: str) -> str:
        """A text with every encrypted value in it opened. Raises CannotDecrypt."""
        return TEXT.sub(self._as_text, text) if SCHEME in text else text

    def open(self, text: str) -> Any:
        """One encrypted value. Raises CannotDecrypt."""
        found = TEXT.fullmatch(text)
        if found is None:
            raise ValueError("it is not encrypted")
        return json.loads(self._open(found[1], found[2]))

    def _as_text(self, found: "re.Match[str]") -> str:
        value = json.loads(self._open(found[1], found[2]))
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def _seal(self, content: bytes) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # late: most commands encrypt nothing

        sealing, naming = _derived(self.keys[self.current])
        nonce = hmac.digest(naming, content, "sha256")[:_NONCE_BYTES]
        sealed = AESGCM(sealing).encrypt(nonce, content, _bound(self.current))
        encoded = base64.urlsafe_b64encode(_FORM + nonce + sealed).decode().rstrip("=")
        return f"{SCHEME}{self.current}/{encoded}"

    def _open(self, key_id: str, encoded: str) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if key_id not in self.keys:
            raise CannotDecrypt(key_id, f"which is not there: add it to {self.where}")
        try:
            content = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            if content[:1] != _FORM:
                raise CannotDecrypt(key_id, "in a form that a newer version writes: update")
            sealing, _ = _derived(self.keys[key_id])
            start = len(_FORM) + _NONCE_BYTES
            return AESGCM(sealing).decrypt(content[len(_FORM) : start], content[start:], _bound(key_id))
        except (InvalidTag, ValueError) as error:
            raise CannotDecrypt(key_id, "and was changed since, or another key has that id here") from error


def new_key_id(key: bytes) -> str:
    """The id of a key: it follows from the key, so that no two keys have the same, and tells nothing of it."""
    return f"k{hashlib.sha256(b'perdure key id' + key).hexdigest()[:12]}"


def _derived(key: bytes) -> tuple[bytes, bytes]:
    """What encrypts, and what nonces are made with: two uses of one key have a key each."""
    return hmac.digest(key, b"perdure payload", "sha256"), hmac.digest(key, b"perdure nonce", "sha256")


def _bound(key_id: str) -> bytes:
    return f"{SCHEME}{key_id}".encode()


def _below(closed: Sequence[Sequence[str]], key: str) -> list[Sequence[str]]:
    return [keys[1:] for keys in closed if leads_to(keys[:1], (key,))]
