"""Files that a command makes: whole or not at all, and never in the place of one that is there."""

import contextlib
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import IO, Final

from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused

FOR_ALL: Final = 0o666
"""Permissions of a file that whoever the umask lets may read."""

FOR_ITS_OWNER: Final = 0o600


@contextlib.contextmanager
def new_file(path: pathlib.Path, permissions: int = FOR_ALL) -> Iterator[IO[bytes]]:
    """A file to write what is to be at that path. It is there when all of it is written, and nothing of it otherwise.

    Raises Refused where there is one by then, or it cannot be written.
    """
    with making(path):
        if path.exists():
            raise FileExistsError
        # A name of its own: another command may be about to make the same file.
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, permissions)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            _name(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def making(path: pathlib.Path) -> Iterator[None]:
    """What is done inside makes a file or folder. Raises Refused where there is one already, or it cannot be made."""
    try:
        yield
    except FileExistsError:
        is_file = path.is_file() or path.is_dir()
        step = "name another, or move that one away" if is_file else "name a file; a new one is made"
        raise Refused(ExitCode.CONFLICT, "EXISTS", f"{path} is there already", step) from None
    except OSError as error:
        message, step = f"{path} cannot be written: {error.strerror}", "make room there, or name another, and repeat"
        raise Refused(ExitCode.FAILURE, "NOT_WRITABLE", message, step) from error


def _name(unfinished: pathlib.Path, path: pathlib.Path) -> None:
    """Gives a file its name, which no other may have. Raises FileExistsError, OSError."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has second names for a file; there, somebody may be as fast as this.
        if path.exists():
            raise FileExistsError from None
        unfinished.rename(path)
