"""The count of starts that is kept beside the store, so that a store that went back is noticed."""

import os
import pathlib
from typing import Final

FILE: Final = "perdure.starts"


class StartsUnusable(Exception):
    """The count cannot be read or written. The message says what to do."""


def read_starts(directory: pathlib.Path) -> int | None:
    """The count, or None where there is none, or none that is a number. Raises StartsUnusable."""
    try:
        return int((directory / FILE).read_text())
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        raise _unusable(directory, error) from error


def write_starts(directory: pathlib.Path, starts: int) -> None:
    """Replaces the count, whole or not at all. Raises StartsUnusable."""
    fresh = directory / f"{FILE}.new"
    try:
        with fresh.open("w") as file:
            file.write(f"{starts}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(directory / FILE)
    except OSError as error:
        raise _unusable(directory, error) from error


def _unusable(directory: pathlib.Path, error: OSError) -> StartsUnusable:
    return StartsUnusable(f"{directory / FILE} cannot be used: {error.strerror}; this user must be able to write it")
