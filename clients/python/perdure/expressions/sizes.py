"""How large values are: parts that are copied, and how long the lists and maps in them are."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_HOLDER: Final = 3
"""Parts that a text, list or map is beside what it holds; a number is one part."""

_ENTRY: Final = 5
"""Parts that an entry of a map is beside its value."""

_CHARACTERS: Final = 64
"""So many characters of a text are copied, or looked at, as fast as one number."""


Path = tuple[str, ...]
"""Fields that are read in turn. EACH stands for every item of a list, and every key and value of a map."""

EACH: Final = ""


@dataclass(frozen=True, slots=True)
class Size:
    """So many parts, and so many times the parts of what is read of each variable."""

    parts: int = 0
    times: tuple[tuple[tuple[int, Path], int], ...] = ()
    """What is read of variables, which have numbers, with how often each is in it."""

    def __add__(self, other: "Size") -> "Size":
        if not other.times:
            return Size(self.parts + other.parts, self.times)
        times = dict(self.times)
        for read, count in other.times:
            times[read] = times.get(read, 0) + count
        return Size(self.parts + other.parts, tuple(times.items()))

    def __mul__(self, count: int) -> "Size":
        return Size(self.parts * count, tuple((read, times * count) for read, times in self.times))

    def over(self, variable: int, count: int, whole: "Callable[[Path], Size]") -> "Size":
        """The sum of it for so many values of a variable; `whole` has the size of what is read of all of these together."""
        total = Size(self.parts, tuple(one for one in self.times if one[0][0] != variable)) * count
        for (other, path), times in self.times:
            total += whole(path) * times if other == variable else Size()
        return total


Lengths = tuple[int, ...]
"""How long the longest list or map is at each depth of a value; the value itself comes first."""

ONE: Final = Size(1)


def together(some: "list[Lengths]") -> Lengths:
    """The lengths of what may be any of these."""
    return tuple(max(level) for level in _levels(some))


def joined(some: "list[Lengths]") -> Lengths:
    """The lengths of what all of these are when they are put together."""
    levels = list(_levels(some))
    return (sum(levels[0]), *map(max, levels[1:])) if levels else ()


def _levels(some: "list[Lengths]") -> "list[list[int]]":
    deepest = max(map(len, some), default=0)
    return [[one[depth] for one in some if depth < len(one)] for depth in range(deepest)]


def found(value: Any, path: Path) -> list[Any]:
    """What a path leads to in a JSON value."""
    here = [value]
    for step in path:
        here = list(_next(here, step))
    return here


def _next(some: list[Any], step: str) -> Iterable[Any]:
    for one in some:
        if step == EACH and isinstance(one, list | Mapping):
            yield from one
            yield from one.values() if isinstance(one, Mapping) else ()
        elif isinstance(one, Mapping) and step in one:
            yield one[step]


def measured(level: list[Any]) -> tuple[Size, Lengths]:
    """The size of JSON values together, and the lengths in any of them."""
    parts, lengths = 0, list[int]()
    while level:
        longest, below = 0, list[Any]()
        for one in level:
            match one:
                case str():
                    parts += _HOLDER + len(one) // _CHARACTERS
                case list():
                    parts += _HOLDER
                    longest = max(longest, len(one))
                    below += one
                case Mapping():
                    parts += _HOLDER + sum(_ENTRY + len(key) // _CHARACTERS for key in one)
                    longest = max(longest, len(one))
                    below += one.values()
                case _:
                    parts += 1
        lengths.append(longest)
        level = below
    return Size(parts), tuple(lengths)


def text(length: int) -> Size:
    """The size of a text of so many characters."""
    return Size(_HOLDER + length // _CHARACTERS)


def holder(entries: int = 0) -> Size:
    """The size of a list, or of a map with so many entries, beside what it holds."""
    return Size(_HOLDER + _ENTRY * entries)
