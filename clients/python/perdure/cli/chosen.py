"""What is chosen once for every command."""

from dataclasses import dataclass
from typing import Final

DEFAULT_SERVER: Final = "127.0.0.1:7400"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Options of the whole program."""

    server: str
