"""Keys by which callers say who they are, as they are given: in a file, and in the metadata of a call."""

import pathlib
import re
import stat
from typing import Final

Metadata = tuple[tuple[str, str], ...]

_KEY: Final = re.compile(r"[!-~]{8,8192}")
"""What stands in a header without quotes."""


class KeyUnusable(ValueError):
    """A key cannot be used as it is given. The message says why, and never what was given."""


def key_metadata(key: str) -> Metadata:
    """What a call carries for the server to know its caller; nothing where there is no key. Raises KeyUnusable."""
    if not key:
        return ()
    if not _KEY.fullmatch(key):
        raise KeyUnusable("what is given as a key is none: it is one word of 8 to 8192 printable ASCII characters")
    return (("authorization", f"Bearer {key}"),)


def read_key_file(path: pathlib.Path) -> str:
    """The key in a file, which people beside its owner and group may not read. Raises KeyUnusable."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO:
            raise KeyUnusable(f"{path} can be read by everybody on this machine; run: chmod 600 {path}")
        key = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise KeyUnusable(f"the key file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KeyUnusable(f"{path} is no key file: it holds more than a key") from error
    if not _KEY.fullmatch(key):
        raise KeyUnusable(f"{path} is no key file: it holds one key, and nothing else")
    return key
