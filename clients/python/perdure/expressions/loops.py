"""How much work an expression is at most: known from its text and from what it reads, before it is evaluated."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MACROS: Final = ("all", "exists", "exists_one", "map", "filter")
"""Loops of CEL: each binds a variable of its own, as in `list.all(x, x > 1)`."""

MAX_DEPTH: Final = 4
"""Most loops that stand one inside the other."""

MAX_STEPS: Final = 25_000_000
"""Most steps of an evaluation; they take about two seconds where each is as long as it can be."""

_COPYING: Final = ("map", "filter")
"""Loops that copy what they have for each item, and so take the square of their length."""

_FREE_SUMS: Final = 8
"""So many `+` may stand in an expression without a loop before anybody looks at what they put together."""

_CHARACTERS: Final = 16
"""So many characters of a text are looked at, or copied, in one step."""

MARK: Final = re.compile(
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
"""A word, number, text or sign of an expression."""


def marks(source: str) -> list[str]:
    """The words, numbers, texts and signs of an expression."""
    return [found[0] for found in MARK.finditer(source) if not found["blank"]]


@dataclass(frozen=True, slots=True)
class Loops:
    """The loops of an expression, and what stands in them."""

    depth: int
    """Most loops that stand one inside the other; 0 where there is none."""
    words: tuple[int, ...]
    """How much of it stands in so many loops."""
    copying: tuple[int, ...]
    """Of each loop that builds a list, in how many others it stands."""
    reads: tuple[tuple[tuple[str, ...], int], ...]
    """Names, with the fields that are read of them, and in how many loops each stands."""
    sums: int
    """How often lists or texts may be put together with `+`."""
    literal: int
    """At least as long as any list or map that is written out."""

    @property
    def harmless(self) -> bool:
        """Whether it is no more work than reading what it is given."""
        return self.depth == 0 and self.sums <= _FREE_SUMS

    def steps(self, values: Mapping[str, Any]) -> tuple[int, int]:
        """The most steps that it takes over values by their names, and the size of the largest list or map among them."""
        sizes = [(_size(_value(values, chain)), depth) for chain, depth in self.reads if chain[0] in values]
        largest = max([self.literal, *(longest for (longest, _), _ in sizes)]) * (1 + self.sums)
        steps = sum(count * largest**depth for depth, count in enumerate(self.words))
        steps += sum(largest ** (depth + 2) // 2 for depth in self.copying)
        steps += sum(extent * largest**depth * (self.sums + (4 if depth else 0)) for (_, extent), depth in sizes)
        again = sum(extent for (_, extent), _ in sizes)
        return steps + (again * largest ** (self.depth - 1) if self.depth > 1 else 0), largest


def loops(source: str) -> Loops:
    """The loops of a valid expression."""
    found = marks(source)
    words, copying, reads = [0] * (len(found) + 1), list[int](), list[tuple[tuple[str, ...], int]]()
    open_brackets: list[bool] = []
    depth = 0
    for at, mark in enumerate(found):
        if mark in "([{":
            is_loop = _begins_a_loop(found, at)
            if is_loop and found[at - 1] in _COPYING:
                copying.append(depth)
            open_brackets.append(is_loop)
            depth += is_loop
        elif mark in ")]}" and open_brackets:
            depth -= open_brackets.pop()
        elif mark.isidentifier() and found[at - 1 : at] != ["."]:
            reads.append(((mark, *_fields(found, at + 1)), depth))
        words[depth] += 1
    deepest = max(at for at, count in enumerate(words) if count or at == 0)
    return Loops(deepest, tuple(words[: deepest + 1]), tuple(copying), tuple(reads), _sums(found), 1 + found.count(","))


def _sums(found: Sequence[str]) -> int:
    """How many `+` there are that do not stand beside a number."""
    return sum(
        mark == "+"
        and not any(beside[0].isdigit() for beside in (*found[max(at - 1, 0) : at], *found[at + 1 : at + 2]))
        for at, mark in enumerate(found)
    )


def _begins_a_loop(found: Sequence[str], at: int) -> bool:
    before, after = found[max(at - 2, 0) : at], found[at + 2 : at + 3]
    return found[at] == "(" and len(before) == 2 and before[0] == "." and before[1] in MACROS and after == [","]


def _fields(found: Sequence[str], at: int) -> Iterator[str]:
    while found[at : at + 1] == ["."] and found[at + 1].isidentifier() and found[at + 2 : at + 3] != ["("]:
        yield found[at + 1]
        at += 2


def _value(values: Mapping[str, Any], chain: tuple[str, ...]) -> Any:
    """What a chain of fields reads, or the last thing on the way that has no such field."""
    value: Any = values
    for name in chain:
        if not isinstance(value, Mapping) or name not in value:
            return value
        value = value[name]
    return value


def _size(value: Any) -> tuple[int, int]:
    """The length of the longest list or map in a JSON value, and the steps of looking at all of it."""
    longest, extent, waiting = 1, 0, [value]
    while waiting:
        one = waiting.pop()
        match one:
            case str():
                extent += len(one) // _CHARACTERS
            case list():
                waiting += one
                longest = max(longest, len(one))
            case dict():
                waiting += one.values()
                longest = max(longest, len(one))
        extent += 1
    return longest, extent
