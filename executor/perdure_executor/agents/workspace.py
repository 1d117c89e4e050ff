"""A folder that agents may read: nothing outside it is reached, and nothing in it is changed."""

import os
import pathlib
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HIDDEN: Final = frozenset({".git", ".perdure"})
"""Never read: what git keeps of its own, and where a control plane keeps its data and keys."""

PASSED_OVER: Final = frozenset({
    "__pycache__", "node_modules", ".venv", "venv", ".tox", ".mypy_cache", ".pytest_cache", ".ruff_cache",
    "build", "dist", "target",
})  # fmt: skip
"""Folders full of what tools made and nobody wrote: not walked into, unless the walk begins there."""

MOST_ENTRIES: Final = 20_000
"""Entries after which a walk stops."""

MOST_READ: Final = 4 * 1024 * 1024
"""Bytes of a file that are read, from its start."""

_SNIFFED: Final = 8192
"""Bytes at the start of a file in which a NUL says that it is not text."""

# Between the check and the opening, a link or a pipe may take the file's place: neither is followed, or waited for.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotReadable(Exception):
    """There is nothing to read there; the message tells a model, or a person, why."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as a walk meets it."""

    path: str
    """Below the workspace, with `/`."""
    size: int


@dataclass(frozen=True, slots=True)
class Tree:
    """What a walk met, nearest first and by name within a folder."""

    folder: str
    files: tuple[File, ...]
    passed_over: tuple[str, ...]
    """What is there and is not among the files."""
    stopped: bool
    """Whether there is more than a walk takes in."""


@dataclass(frozen=True, slots=True)
class Content:
    """A text file's content."""

    path: str
    size: int
    """Bytes of the whole file."""
    text: str
    whole: bool


class Workspace:
    """One folder, and the files below it."""

    def __init__(self, executor_workspace: str, folder: str = "") -> None:
        """`folder` is below the executor's own workspace, as a path from there or a whole one. Raises NotReadable."""
        outermost = pathlib.Path(executor_workspace).resolve()
        self.root: Final = _resolved(outermost, folder, f"the workspace folder {folder!r}")
        if not self.root.is_dir():
            raise NotReadable(f"the workspace folder {folder!r} is not a folder")

    def walk(self, folder: str = "") -> Tree:
        """Every file below a folder. Links are not followed. Raises NotReadable."""
        start = self._find(folder)
        if not start.is_dir():
            raise NotReadable(f"{folder!r} is a file; read_file reads it")
        files, passed_over = [], []
        seen = 0
        for entry in _breadth_first(start):
            seen += 1
            if seen > MOST_ENTRIES:
                break
            path = self._shown(entry.path)
            if entry.is_file(follow_symlinks=False) and not _hidden(entry.name):
                files.append(File(path, _size(entry)))
            elif not _entered(entry):
                passed_over.append(f"{path} (symbolic link)" if entry.is_symlink() else path)
        return Tree(self._shown(start), tuple(files), tuple(passed_over), seen > MOST_ENTRIES)

    def read(self, path: str, most: int = MOST_READ) -> Content:
        """A text file's content, up to so many bytes. Raises NotReadable."""
        real = self._find(path)
        try:
            mode = real.lstat().st_mode
            if stat.S_ISDIR(mode):
                raise NotReadable(f"{path!r} is a folder; list_files shows what is in it")
            if not stat.S_ISREG(mode):
                raise NotReadable(f"{path!r} is neither a file nor a folder")
            with os.fdopen(os.open(real, _OPEN_FLAGS), "rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                content = stream.read(most)
        except OSError as error:
            raise NotReadable(f"{path!r} cannot be read: {error.strerror}") from error
        if b"\0" in content[:_SNIFFED]:
            raise NotReadable(f"{path!r} is not text: a binary file of {size} bytes")
        text = content.decode("utf-8", errors="replace")
        return Content(self._shown(real), size, text, whole=size <= len(content))

    def _find(self, path: str) -> pathlib.Path:
        if pathlib.PurePath(path).is_absolute():
            raise NotReadable(f"{path!r} is not a path below the workspace; give one like 'docs/README.md'")
        return _resolved(self.root, path, repr(path))

    def _shown(self, path: "str | os.PathLike[str]") -> str:
        relative = pathlib.Path(path).relative_to(self.root)
        # A name may hold bytes that are no text; the log takes nothing else.
        return os.fsencode(relative.as_posix()).decode("utf-8", errors="replace")


def _resolved(root: pathlib.Path, path: str, name: str) -> pathlib.Path:
    """Where a path leads, when that is in the root."""
    if ".." in pathlib.PurePath(path).parts:
        raise NotReadable(f"{name} holds '..'; a path only leads down")
    try:
        real = (root / path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # missing; links in a circle; a NUL in it
        raise NotReadable(f"{name} does not exist") from error
    if not real.is_relative_to(root):
        raise NotReadable(f"{name} leads out of the workspace")
    if any(map(_hidden, real.relative_to(root).parts)):
        raise NotReadable(f"{name} is not for agents to read")
    return real


def _breadth_first(start: pathlib.Path) -> Iterator["os.DirEntry[str]"]:
    waiting = deque([os.fspath(start)])
    while waiting:
        try:
            with os.scandir(waiting.popleft()) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:  # gone since it was met, or closed to us
            continue
        yield from entries
        waiting.extend(entry.path for entry in entries if _entered(entry))


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:  # gone since it was met
        return 0


def _entered(entry: "os.DirEntry[str]") -> bool:
    named = entry.name in PASSED_OVER or _hidden(entry.name)
    return entry.is_dir(follow_symlinks=False) and not named


def _hidden(name: str) -> bool:
    # Some file systems do not tell `.GIT` from `.git`.
    return name.casefold() in HIDDEN
