"""Files with the keys of payloads: one that encrypts, and all before it, which open what they have encrypted."""

import base64
import json
import os
import pathlib
import secrets
import stat
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from perdure.encryption.codec import KEY_BYTES, Codec, new_key_id

FORM: Final = 1
"""Of the file."""


class KeyFileUnusable(Exception):
    """A file of payload keys cannot be used, read or written; the message says why, in one sentence."""


@dataclass(frozen=True, slots=True)
class PayloadKey:
    """One of them."""

    key_id: str
    key: bytes = field(repr=False)
    made: str
    """When, in RFC 3339."""


@dataclass(frozen=True, slots=True)
class PayloadKeys:
    """All of a file. The last one encrypts."""

    keys: tuple[PayloadKey, ...]

    def codec(self, where: str) -> Codec:
        """What encrypts and opens with them. `where` names the file for whoever lacks a key."""
        return Codec({key.key_id: key.key for key in self.keys}, self.keys[-1].key_id, where)

    def rotated(self, now: datetime) -> "PayloadKeys":
        """With a new key that encrypts from now on."""
        return PayloadKeys((*self.keys, _new(now)))


def new_keys(now: datetime) -> PayloadKeys:
    """One key, just made."""
    return PayloadKeys((_new(now),))


def read_keys(path: pathlib.Path) -> PayloadKeys:
    """The keys in a file, which its owner alone may read. Raises KeyFileUnusable."""
    try:
        if path.is_dir():
            raise KeyFileUnusable(f"{path} is a directory, and no file of payload keys")
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeyFileUnusable(f"{path} can be read by others than its owner; run: chmod 600 {path}")
        document = json.loads(path.read_text(encoding="utf-8"))
        keys = tuple(_key(one) for one in document["keys"])
        if document["form"] != FORM or not keys:
            raise ValueError
    except OSError as error:
        raise KeyFileUnusable(f"the file of payload keys {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise KeyFileUnusable(f"{path} is no file of payload keys; perdure encryption create makes one") from error
    return PayloadKeys(keys)


def write_keys(path: pathlib.Path, keys: PayloadKeys, *, new: bool) -> None:
    """Writes a file, whole or not at all, for its owner alone.

    Raises FileExistsError for one that is to be new and is there, and KeyFileUnusable.
    """
    if new and path.exists():
        raise FileExistsError(path)
    listed = [{"id": one.key_id, "key": base64.b64encode(one.key).decode(), "made": one.made} for one in keys.keys]
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"form": FORM, "keys": listed}, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise KeyFileUnusable(f"{path} cannot be written: {error.strerror}") from error


def _new(now: datetime) -> PayloadKey:
    key = secrets.token_bytes(KEY_BYTES)
    return PayloadKey(new_key_id(key), key, now.isoformat(timespec="seconds"))


def _key(given: Any) -> PayloadKey:
    key = base64.b64decode(given["key"], validate=True)
    if len(key) != KEY_BYTES or given["id"] != new_key_id(key):
        raise ValueError
    return PayloadKey(given["id"], key, str(given["made"]))
