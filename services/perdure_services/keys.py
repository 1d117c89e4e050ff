"""Secret keys of a server: made once, readable by its owner alone, kept in the data directory."""

import json
import os
import pathlib
import secrets
from dataclasses import dataclass
from typing import Any, Final

import structlog

from perdure.audit.signing import HeadKey
from perdure_control_plane.domain.approval import TokenKeys
from perdure_control_plane.domain.credential import Purpose, ServerCredential

log = structlog.get_logger(__name__)

FILE: Final = "keys.json"


class KeysUnusable(Exception):
    """The key file cannot be used. The message says what to do."""


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """Keys for approval tokens, the secrets behind page tokens and hashes of callers' keys, and what signs audit heads."""

    approvals: TokenKeys
    pages: bytes
    callers: bytes
    audit: HeadKey
    written_at: int
    """When the file was last written, in microseconds since 1970."""

    def credentials(self) -> list[ServerCredential]:
        """Which keys these are, by purpose and id."""

        def told(purpose: Purpose, key_id: str = "", *, is_current: bool = True) -> ServerCredential:
            return ServerCredential(purpose, key_id, True, is_current, self.written_at)

        tokens = [
            told(Purpose.APPROVAL_TOKENS, key_id, is_current=key_id == self.approvals.current)
            for key_id in self.approvals.secrets
        ]
        beside = [told(purpose) for purpose in (Purpose.PAGE_TOKENS, Purpose.CALLER_KEYS)]
        return [*tokens, *beside, told(Purpose.AUDIT_HEADS, self.audit.public_key.hex())]


def load_keys(directory: pathlib.Path) -> ServerKeys:
    """The keys in a data directory; made there at the first start. Raises KeysUnusable."""
    path = directory / FILE
    stored = read_key_file(path)
    try:
        keys = {key_id: bytes.fromhex(secret) for key_id, secret in stored["approvals"].items()}
        if stored["current"] not in keys:
            raise ValueError("the current key is not there")
        pages, callers, audit = (bytes.fromhex(stored[name]) for name in ("pages", "callers", "audit"))
        written_at = path.stat().st_mtime_ns // 1000
        return ServerKeys(TokenKeys(stored["current"], keys), pages, callers, HeadKey(audit), written_at)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise _no_key_file(path) from error


def read_key_file(path: pathlib.Path) -> dict[str, Any]:
    """What the file holds; it is made where there is none. Raises KeysUnusable."""
    try:
        if not path.exists():
            write_key_file(path, _fresh())
            log.info("keys.made", path=str(path))  # where others were before, tokens made with them are void now
        if path.stat().st_mode & 0o077:
            raise KeysUnusable(f"{path} can be read by others than its owner; run: chmod 600 {path}")
        stored = json.loads(path.read_text())
    except OSError as error:
        raise KeysUnusable(
            f"{path} cannot be used: {error.strerror}; this user must be able to write it, and to read it"
        ) from error
    except ValueError as error:
        raise _no_key_file(path) from error
    if not isinstance(stored, dict):
        raise _no_key_file(path)
    return stored


def write_key_file(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes the file, whole or not at all, for its owner alone."""
    fresh = path.with_name(f"{FILE}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _no_key_file(path: pathlib.Path) -> KeysUnusable:
    return KeysUnusable(f"{path} is not a key file; restore it from a backup: open approvals need it")


def new_token_key() -> tuple[str, str]:
    """The id and the secret, in hexadecimal, of a key for approval tokens that is like no other."""
    return secrets.token_hex(4), secrets.token_hex(32)


def _fresh() -> dict[str, Any]:
    key_id, secret = new_token_key()
    return {
        "current": key_id,
        "approvals": {key_id: secret},
        "pages": secrets.token_hex(32),
        "callers": secrets.token_hex(32),
        "audit": secrets.token_hex(32),
    }
