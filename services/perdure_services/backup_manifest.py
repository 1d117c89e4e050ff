"""What a backup says of itself: `backup.json`, beside the copies of the database and the keys."""

import datetime
import hashlib
import os
import pathlib
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

FILE: Final = "backup.json"


class BackupUnusable(Exception):
    """A backup cannot be made there, or nothing can be restored from it. The message says what to do."""


class CopiedFile(BaseModel):
    """One file of a backup. `sha256` is in hexadecimal digits."""

    model_config = ConfigDict(frozen=True)

    name: Literal["perdure.db", "keys.json"]
    bytes: int
    sha256: str


class BackupManifest(BaseModel):
    """What is in a backup, and what the store was when it was made."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    made_at: AwareDatetime
    server_version: str
    schema_version: str
    generation: int
    starts: int
    runs: int
    events: int
    checked: bool
    """Whether every log of the copy was checked, and every table against its log."""
    files: tuple[CopiedFile, ...]

    def has(self, name: str) -> bool:
        """Whether a file is in it."""
        return any(file.name == name for file in self.files)


def read_manifest(backup: pathlib.Path) -> BackupManifest:
    """The manifest of a backup. Raises BackupUnusable."""
    try:
        return BackupManifest.model_validate_json((backup / FILE).read_bytes())
    except OSError as error:
        raise BackupUnusable(
            f"{backup} is no backup: {FILE} in it cannot be read: {error.strerror};"
            " name a directory that perdure-server backup has made"
        ) from error
    except ValidationError as error:
        reason = "of a newer version, or damaged"
        raise BackupUnusable(f"{backup / FILE} is {reason}; use that version, or another backup") from error


def write_manifest(backup: pathlib.Path, manifest: BackupManifest) -> None:
    """Writes it, through to the disk."""
    path = backup / FILE
    path.write_text(manifest.model_dump_json(indent=2) + "\n")
    sync(path)


def copied(path: pathlib.Path) -> CopiedFile:
    """What the manifest says of a file, which is read whole."""
    return CopiedFile.model_validate({"name": path.name, "bytes": path.stat().st_size, "sha256": digest_of(path)})


def digest_of(path: pathlib.Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: pathlib.Path) -> None:
    """Writes a file, or the names in a directory, through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def now() -> datetime.datetime:
    """The time that a manifest says, to the second."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
