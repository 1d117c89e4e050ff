"""How large the automaton of a regular expression gets, from its text alone."""

import re
from typing import Final

_MARK: Final = re.compile(
    r"""
    (?P<count> \{ (?P<least>\d{1,9}) (?: (?P<open>,) (?P<most>\d{1,9})? )? \} )
    | (?P<one> \\ [pPuk] \{ [^{}]* \} | \\ . | \[ \^? \]? (?: \\. | [^\]\\] )*+ (?: \] | \Z ) | [^()] )
    | (?P<open_group> \( (?: \? (?: [:=!>] | <[=!] | P?<\w*> | [a-zA-Z-]*:?) )? )
    | (?P<close_group> \) )
    """,
    re.VERBOSE | re.DOTALL,
)
"""A count, something that stands for one character, or the beginning or end of a group."""


def states(pattern: str) -> int:
    """At least as many as the places in which a matcher may be at once; each may cost a turn for each character."""
    sums, last = [0], 0
    for mark in _MARK.finditer(pattern):
        if mark["count"]:
            most = max(int(mark["least"]), int(mark["most"] or 0), 1)
            sums[-1] += last * (most - 1)
            last *= most
        elif mark["open_group"]:
            sums.append(0)
            last = 0
        elif mark["close_group"] and len(sums) > 1:
            last = sums.pop() + 1
            sums[-1] += last
        else:
            last = 1
            sums[-1] += 1
    return sum(sums) + len(sums)
