"""References to secrets: texts that stand where a secret would, in a playbook, in its input and in every log.

`secret://env/NAME` is a variable of the executor's environment, `secret://file/PATH` a file below its directory of secrets.
A reference is the whole of its text, so that nobody has to find one inside another text.
"""

import re
from dataclasses import dataclass
from typing import Final

SCHEME: Final = "secret://"

MAX_BYTES: Final = 512
"""Longest reference."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SEGMENT: Final = re.compile(r"(?!\.\.)(?!\.$)[A-Za-z0-9._-]+")
"""One name of a path: neither `.` nor anything that begins with `..`, so that a path only leads down."""


class ReferenceInvalid(ValueError):
    """It is no reference; the message says why, and never repeats what may be a secret."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is."""

    source: str
    """`env` or `file`."""
    name: str
    """The variable, or the path with `/`."""

    def __str__(self) -> str:
        return f"{SCHEME}{self.source}/{self.name}"


def is_reference(value: object) -> bool:
    """Whether a value is meant as a reference, well-formed or not."""
    return isinstance(value, str) and value.startswith(SCHEME)


def reference(text: str) -> Reference:
    """Reads a reference. Raises ReferenceInvalid."""
    if not text.startswith(SCHEME):
        raise ReferenceInvalid(f"a reference is the whole of its text and begins with {SCHEME}")
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise ReferenceInvalid(f"a reference has at most {MAX_BYTES} bytes")
    source, slash, name = text.removeprefix(SCHEME).partition("/")
    if not slash or source not in ("env", "file"):
        raise ReferenceInvalid(f"it is {SCHEME}env/NAME or {SCHEME}file/PATH; no other source is known")
    if source == "env" and not _VARIABLE.fullmatch(name):
        raise ReferenceInvalid(f"what follows {SCHEME}env/ is the name of a variable: letters, digits and '_'")
    if source == "file" and not all(_SEGMENT.fullmatch(segment) for segment in name.split("/")):
        raise ReferenceInvalid(
            f"what follows {SCHEME}file/ is a path of letters, digits, '.', '_' and '-' that only leads down"
        )
    return Reference(source, name)
