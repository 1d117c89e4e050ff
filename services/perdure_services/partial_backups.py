"""Directories that backups are made in, each beside the place that it will have, and locked while somebody writes to it.

A backup that is killed leaves its directory, without the lock: the next one to the same place removes it.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from typing import Final

import typer

from perdure_control_plane.storage.sqlite import DATABASE
from perdure_services import backup_manifest, keys
from perdure_services.backup_manifest import BackupUnusable

PARTIAL: Final = ".partial"
REPLACED: Final = ".replaced"
"""Of a backup that another has taken the place of."""

_OURS: Final = {DATABASE, *(f"{DATABASE}-{end}" for end in ("journal", "shm", "wal")), keys.FILE, backup_manifest.FILE}
"""Everything that may be in such a directory."""


@contextlib.contextmanager
def partial_beside(to: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory of its owner's alone beside the one that it will be, gone again where it has not become it.

    Raises BackupUnusable where nothing can be written there.
    """
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        _remove_broken_off(to)
        partial = pathlib.Path(tempfile.mkdtemp(prefix=f".{to.name}.", suffix=PARTIAL, dir=to.parent))
    except OSError as error:
        raise BackupUnusable(f"{to} cannot be made: {error.strerror}; name another directory") from error
    try:
        with _locked(partial):
            yield partial
    except OSError as error:
        raise BackupUnusable(f"{to} cannot be written: {error.strerror}; nothing was kept of it") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_in_place(partial: pathlib.Path, to: pathlib.Path) -> None:
    """Gives a partial backup its name; the one that had it is there until then, and gone afterwards. Raises OSError."""
    replaced = partial.with_suffix(REPLACED)
    try:
        if to.exists():
            to.rename(replaced)
        partial.rename(to)
    except BaseException:
        if replaced.exists() and not to.exists():
            replaced.rename(to)
        raise
    backup_manifest.sync(to.parent)
    # Not before: where somebody was killed between the two names, it is the only backup.
    for old in _directories(to, REPLACED):
        shutil.rmtree(old, ignore_errors=True)


def _remove_broken_off(to: pathlib.Path) -> None:
    for found in _directories(to, PARTIAL):
        try:
            with _locked(found) as free:
                if free:
                    shutil.rmtree(found)
        except FileNotFoundError:
            continue  # it was under way, and is done
        told = "is of another backup; where none is being made, remove it"
        if free:
            told = "was left by a backup that was broken off, and is removed"
        typer.echo(f"perdure-server: {found} {told}", err=True)


def _directories(to: pathlib.Path, suffix: str) -> list[pathlib.Path]:
    """This user's directories with nothing but a backup to that place in them, or a part of one."""
    name = re.compile(rf"\.{re.escape(to.name)}\.[a-z0-9_]{{8}}{re.escape(suffix)}")
    found = [path for path in sorted(to.parent.iterdir()) if name.fullmatch(path.name)]
    return [path for path in found if _is_own(path) and {inner.name for inner in path.iterdir()} <= _OURS]


def _is_own(path: pathlib.Path) -> bool:
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


@contextlib.contextmanager
def _locked(directory: pathlib.Path) -> Iterator[bool]:
    """Holds a directory's lock; false where another process does, or the file system has none. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
