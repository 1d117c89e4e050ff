"""Short lists of words in one column, as JSON, so that they can be read in any database tool."""

import json
from collections.abc import Iterable


def pack(words: Iterable[str]) -> str:
    """A list as it is stored."""
    return json.dumps(list(words))


def unpack(stored: str) -> tuple[str, ...]:
    """A stored list."""
    return tuple(json.loads(stored))
