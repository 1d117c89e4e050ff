"""Files that a node has promised to leave: whether they are there, and what they are."""

import hashlib
import os
import pathlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from perdure.v1 import node_events_pb2

_READ_BYTES: Final = 1024 * 1024

# Between the check and the opening, a link or a pipe may take the file's place: neither is followed, or waited for.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotAsPromised(Exception):
    """A file is not there, or is another than was promised; the message names it."""


@dataclass(frozen=True, slots=True)
class PromisedFile:
    """One file."""

    name: str
    """As the plan says it, for people."""
    path: str
    """The same with its expressions evaluated; from the node's directory."""
    min_bytes: int
    max_bytes: int | None
    sha256: str
    """In hexadecimal; empty for any."""


def find(folder: str, promised: Sequence[PromisedFile]) -> Iterator[node_events_pb2.OutputFile]:
    """Each file as it is. Reads it whole. Raises NotAsPromised behind the first that is another than was promised."""
    root = pathlib.Path(folder).resolve()
    for one in promised:
        found = _read(root, one)
        yield found
        if found.size < one.min_bytes:
            raise NotAsPromised(f"{one.name!r} has {found.size} bytes, and {one.min_bytes} are the least")
        if one.max_bytes is not None and found.size > one.max_bytes:
            raise NotAsPromised(f"{one.name!r} has {found.size} bytes, and {one.max_bytes} are the most")
        if one.sha256 and found.digest.hex() != one.sha256.lower():
            raise NotAsPromised(f"{one.name!r} has another SHA-256 than was promised")


def digests(folder: str, paths: Sequence[str], most_bytes: int) -> list[node_events_pb2.OutputFile]:
    """Files as they are. Reads them whole. Raises NotAsPromised where one is not there, or they are larger together."""
    root, found = pathlib.Path(folder).resolve(), list[node_events_pb2.OutputFile]()
    for path in paths:
        left = most_bytes - sum(one.size for one in found)
        found.append(_read(root, PromisedFile(path, path, 0, None, ""), left))
    return found


def _read(root: pathlib.Path, promised: PromisedFile, most_bytes: int | None = None) -> node_events_pb2.OutputFile:
    try:
        descriptor = os.open(_place(root, promised), _OPEN_FLAGS)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise NotAsPromised(f"{promised.name!r} is no file")
        if most_bytes is not None and found.st_size > most_bytes:
            os.close(descriptor)
            raise NotAsPromised(f"{promised.name!r} has {found.st_size} bytes, and {most_bytes} are left for it")
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            digest, size = hashlib.sha256(), 0
            while piece := stream.read(_READ_BYTES):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise NotAsPromised(f"{promised.name!r} cannot be read: {error.strerror}") from error
    return node_events_pb2.OutputFile(path=promised.path, size=size, digest=digest.digest())


def _place(root: pathlib.Path, promised: PromisedFile) -> pathlib.Path:
    """Where a path leads, when that is in the root."""
    given = pathlib.PurePath(promised.path)
    if not promised.path or given.is_absolute() or ".." in given.parts:
        raise NotAsPromised(f"{promised.name!r} is no path below the node's directory")
    try:
        real = (root / given).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # missing; links in a circle; a NUL in it
        raise NotAsPromised(f"{promised.name!r} is not there") from error
    if not real.is_relative_to(root):
        raise NotAsPromised(f"{promised.name!r} leads out of the node's directory")
    return real
