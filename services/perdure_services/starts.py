"""The count of starts that is kept beside the store, so that a store that went back is noticed."""

import os
import pathlib
from typing import Final

FILE: Final = "perdure.starts"


def read_starts(directory: pathlib.Path) -> int | None:
    """The count, or None where there is none, or none that can be read."""
    try:
        return int((directory / FILE).read_text())
    except (FileNotFoundError, ValueError):
        return None


def write_starts(directory: pathlib.Path, starts: int) -> None:
    """Replaces the count, whole or not at all."""
    fresh = directory / f"{FILE}.new"
    with fresh.open("w") as file:
        file.write(f"{starts}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(directory / FILE)
