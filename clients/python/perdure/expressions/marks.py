"""Words, numbers, texts and signs of an expression."""

import re
from typing import Final

MACROS: Final = ("all", "exists", "exists_one", "map", "filter")
"""Loops of CEL: each binds a variable of its own, as in `list.all(x, x > 1)`."""

_MARK: Final = re.compile(
    r"""
    (?P<blank> \s+ | //[^\n]* )
    | (?i:r|br|rb) (?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\n]*" | '[^'\n]*' )
    | [bB]? (?: \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3} | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' )
    | [A-Za-z_]\w*
    | \d[\w.]*
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


def marks(source: str) -> list[str]:
    """The words, numbers, texts and signs of an expression."""
    return [found[0] for found in _MARK.finditer(source) if not found["blank"]]


def is_text(mark: str) -> bool:
    """Whether it is a text, or bytes, written out."""
    return mark[-1] in "'\"" and len(mark) > 1
