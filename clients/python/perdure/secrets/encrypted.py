"""Values that are encrypted: texts, `encrypted://KEY/CONTENT`, that stand wherever the value would. Their form alone."""

import re
from typing import Any, Final

SCHEME: Final = "encrypted://"
MARK: Final = SCHEME.encode()

TEXT: Final = re.compile(r"encrypted://([A-Za-z0-9._-]{1,64})/([A-Za-z0-9_-]{39,})")
"""Id of the key, and content: base64 for addresses of a form, a nonce and what AES-256-GCM makes of the value."""


def is_encrypted(value: object) -> bool:
    """Whether a value is an encrypted one, as far as anybody can tell without the key."""
    return isinstance(value, str) and TEXT.fullmatch(value) is not None


def holds_encrypted(value: Any) -> bool:
    """Whether any value in a JSON value is encrypted."""
    match value:
        case dict():
            return any(map(holds_encrypted, value.values()))
        case list():
            return any(map(holds_encrypted, value))
        case _:
            return is_encrypted(value)
