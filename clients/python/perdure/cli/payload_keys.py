"""Which keys a command encrypts with, and opens what it shows."""

import os
import pathlib
from typing import Final

import typer

from perdure.cli.profiles import Profile
from perdure.encryption.codec import Codec
from perdure.encryption.key_files import KeyFileUnusable, PayloadKeys, read_keys

KEYS: Final = "PERDURE_ENCRYPTION_KEYS"
"""Variable that names the file with the keys of payloads."""


def chosen_codec(profile: Profile | None) -> Codec:
    """What the environment names, else the profile; a codec without keys where nothing does. Raises BadParameter."""
    named = os.environ.get(KEYS) or (profile.encryption_keys if profile is not None else "")
    if not named:
        return Codec(where=f"a file that {KEYS} or the profile names")
    return readable_keys(pathlib.Path(named)).codec(named)


def readable_keys(path: pathlib.Path) -> PayloadKeys:
    """The keys of a file. Raises BadParameter."""
    try:
        return read_keys(path)
    except KeyFileUnusable as error:
        raise typer.BadParameter(str(error), param_hint=KEYS) from error
