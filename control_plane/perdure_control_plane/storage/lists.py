"""Short lists of words in one column, as JSON, so that they can be read in any database tool."""

import json
from collections.abc import Iterable
from functools import lru_cache


def pack(words: Iterable[str]) -> str:
    """A list as it is stored."""
    return json.dumps(list(words))


@lru_cache(maxsize=1024)  # the same few lists are in every run's row and every executor's
def unpack(stored: str) -> tuple[str, ...]:
    """A stored list."""
    return tuple(json.loads(stored))
