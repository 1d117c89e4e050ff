"""What is chosen once for every command."""

import pathlib
from dataclasses import dataclass, field
from typing import Final

import platformdirs

USUAL_FILE: Final = platformdirs.user_config_path("perdure") / "config.toml"
"""Where settings are looked for when no file is named."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server is known, and what is shown to it; as given, and not looked at yet."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Options of the whole program; None where nothing was chosen."""

    server: str | None
    output: str | None
    config: pathlib.Path | None
    key_file: pathlib.Path | None = None
    profile: str | None = None
    tls: Tls = field(default_factory=Tls)
