"""Settings of the command line that a file may hold, for whoever does not want to give them each time."""

import pathlib
import tomllib
from dataclasses import dataclass
from typing import Final

import typer

from perdure.cli.chosen import USUAL_FILE
from perdure.cli.printing.formats import Format

KEYS: Final = ("server", "output")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says; None where it says nothing."""

    server: str | None = None
    output: Format | None = None


def read_settings(named: pathlib.Path | None) -> Settings:
    """The settings in a file, or in the usual one where it is there. Raises BadParameter naming file and key."""
    path = named or USUAL_FILE
    if named is None and not path.is_file():
        return Settings()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _fault(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _fault(f"{path} cannot be read: {error}") from error
    except RecursionError as error:
        raise _fault(f"{path} cannot be read: it is nested too deep") from error
    for key, value in content.items():
        if key not in KEYS:
            raise _fault(f"{path}: {key!r} is not a setting; there are {', '.join(KEYS)}")
        if not isinstance(value, str) or not value:
            raise _fault(f"{path}: {key!r} is not text")
    return Settings(content.get("server"), _format(path, content.get("output")))


def _format(path: pathlib.Path, word: str | None) -> Format | None:
    try:
        return Format(word) if word is not None else None
    except ValueError:
        raise _fault(f"{path}: 'output' is one of {', '.join(Format)}") from None


def _fault(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="'--config'")
