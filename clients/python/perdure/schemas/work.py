"""How much work a check is at most: known from the schema and the extent of the value, before anything is checked."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from perdure.schemas.subschemas import Children, Subschema

_PLENTY: Final = 10**18
"""Beyond any limit; numbers do not grow further."""

_MAX_WAYS: Final = 500_000
"""Most subschemas, counted for each that leads to them, that are looked through to say how much work a check is."""


class Endless(Exception):
    """A schema leads back to itself without going any deeper into the value."""


class TooEntangled(Exception):
    """A schema combines so many subschemas that nobody can say how much work a check is."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a value is, level by level."""

    values: tuple[int, ...]
    """How many values there are at each depth; the value itself is at 0."""
    characters: tuple[int, ...]
    """How many characters the texts have at each depth, the names in objects among them."""

    @property
    def size(self) -> int:
        """Values and characters in all."""
        return sum(self.values) + sum(self.characters)

    @property
    def depth(self) -> int:
        """Levels of lists and objects, and what they hold."""
        return len(self.values)


def extent(value: Any, max_depth: int) -> Extent:
    """The extent of a JSON value, as deep as it goes or one level below `max_depth`."""
    level, values, characters = [value], list[int](), list[int]()
    names = 0
    while level and len(values) <= max_depth:
        texts, below, next_names = names, list[Any](), 0
        for one in level:
            match one:
                case str():
                    texts += len(one)
                case dict():
                    below += one.values()
                    next_names += sum(map(len, one))
                case list():
                    below += one
        values.append(len(level))
        characters.append(texts)
        level, names = below, next_names
    return Extent(tuple(values), tuple(characters))


class Work:
    """How much work checks against one schema are. Raises Endless or TooEntangled where nobody can say."""

    def __init__(self, root: Subschema) -> None:
        self._root = root
        self._closures: dict[int, tuple[_Times, ...]] = {}
        self._turns: dict[tuple[int, int], _Turns] = {}
        self._ways = 0
        self.chain: Final = max(self._close(_inside_first(root)).values())
        """Most subschemas that stand one inside the other for one and the same value."""

    def of(self, value: Extent) -> int:
        """Turns that a check of a value of such an extent takes at most."""
        turns = 0
        for depth, (values, characters) in enumerate(zip(value.values, value.characters, strict=True)):
            of_value, of_character = self._at(self._root, depth)
            turns += values * of_value + characters * of_character
        return turns

    def _close(self, ordered: Iterable[Subschema]) -> dict[int, int]:
        """Notes what is looked at where each subschema is, and how often; returns how long the chains are."""
        chains: dict[int, int] = {}
        for one in ordered:
            found: Counter[int] = Counter()
            by_id = {id(one): one}
            for inner in one.here:
                for other, times in self._closures[id(inner)]:
                    by_id[id(other)] = other
                    found[id(other)] = min(found[id(other)] + one.again * times, _PLENTY)
            self._ways += len(by_id)
            if self._ways > _MAX_WAYS:
                raise TooEntangled
            found[id(one)] = 1
            self._closures[id(one)] = tuple((by_id[other], times) for other, times in found.items())
            chains[id(one)] = 1 + max((chains[id(inner)] for inner in one.here), default=0)
        return chains

    def _at(self, one: Subschema, depth: int) -> "_Turns":
        """Turns for each value, and for each character, so far below a value that this subschema is for."""
        known = self._turns.get((id(one), depth))
        if known is None:
            closure = self._closures[id(one)]
            if depth == 0:
                known = _sum((other.weight, other.states, times) for other, times in closure)
            else:
                objects = self._below([(other.in_objects, times) for other, times in closure], depth - 1)
                lists = self._below([(other.in_lists, times) for other, times in closure], depth - 1)
                known = _larger(objects, lists)
            self._turns[id(one), depth] = known
        return known

    def _below(self, holders: "list[tuple[Children, int]]", depth: int) -> "_Turns":
        """The most turns for anything that a list or object holds."""
        unnamed, named = (0, 0), dict[str | int, _Turns]()
        for children, times in holders:
            others = self._all(children.others, depth, times)
            unnamed = _sum(((*unnamed, 1), (*others, 1), (*self._all(children.each, depth, times), 1)))
            for name, inner in children.named.items():
                before, instead = named.get(name, (0, 0)), self._all([inner], depth, times)
                named[name] = (before[0] + instead[0] - others[0], before[1] + instead[1] - others[1])
        values = max((more for more, _ in named.values()), default=0)
        characters = max((more for _, more in named.values()), default=0)
        return unnamed[0] + max(values, 0), unnamed[1] + max(characters, 0)

    def _all(self, some: list[Subschema], depth: int, times: int) -> "_Turns":
        return _sum((*self._at(one, depth), times) for one in some)


_Times = tuple[Subschema, int]
"""A subschema, and how often it is looked at."""

_Turns = tuple[int, int]
"""Turns for each value, and for each character of a text."""


def _sum(turns: Iterable[tuple[int, int, int]]) -> _Turns:
    values = characters = 0
    for of_value, of_character, times in turns:
        values += of_value * times
        characters += of_character * times
    return min(values, _PLENTY), min(characters, _PLENTY)


def _larger(one: _Turns, other: _Turns) -> _Turns:
    return max(one[0], other[0]), max(one[1], other[1])


def _inside_first(root: Subschema) -> Iterator[Subschema]:
    """All that can be reached, each after what it names for the same value. Raises Endless."""
    begun: set[int] = set()
    done: set[int] = set()
    starts = [root]
    while starts:
        stack = [starts.pop()]
        while stack:
            one = stack[-1]
            unread = [inner for inner in one.here if id(inner) not in done]
            if id(one) in done or not unread:
                stack.pop()
                if id(one) not in done:
                    done.add(id(one))
                    yield one
                    starts += _children(one)
                continue
            begun.add(id(one))
            if id(unread[0]) in begun:
                raise Endless
            stack.append(unread[0])


def _children(one: Subschema) -> Iterator[Subschema]:
    for held in (one.in_objects, one.in_lists):
        yield from (*held.named.values(), *held.others, *held.each)
