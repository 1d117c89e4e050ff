"""How much work a check is at most: known from the schema and the extent of the value, before anything is checked."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from perdure.schemas.subschemas import Children, Subschema

_PLENTY: Final = 10**18
"""Beyond any limit; numbers do not grow further."""

_MAX_WAYS: Final = 200_000
"""Most subschemas, counted for each that leads to them, that are looked through to say how much work a check is."""

_MAX_ASKED: Final = 50_000
"""Most subschemas that are looked at to know which parts of one value are looked at. The library makes a copy of each."""

_LARGE: Final = 2**53
"""Numbers from here on have as many characters as digits."""


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
    """How many characters the texts and large numbers have at each depth, the names in objects among them."""

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
                case int() | float() if not -_LARGE < one < _LARGE:
                    texts += digits(one)
        values.append(len(level))
        characters.append(texts)
        level, names = below, next_names
    return Extent(tuple(values), tuple(characters))


def digits(number: int | float) -> int:
    """How many digits a number has before its point, or some more: long ones take the square of their length."""
    found = number.bit_length() // 3 if isinstance(number, int) else 309
    return found + found**2 // 256


class Work:
    """How much work checks against one schema are. Raises Endless or TooEntangled where nobody can say."""

    def __init__(self, root: Subschema) -> None:
        self._root = root
        self._closures: dict[int, tuple[_Times, ...]] = {}
        self._reaches: dict[int, _Reach] = {}
        self._turns: dict[tuple[int, int], _Turns] = {}
        self._ways = 0
        self.chain: Final = max(self._close(_inside_first(root)).values())
        """Most subschemas that stand one inside the other for one and the same value."""
        self.breadth: Final = sum(reach.breadth for reach in self._reaches.values())
        """Subschemas that are looked through for each level of a value, to say how much work its check is."""

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
            chain = max((chains[id(inner)] for inner in one.here), default=0)
            again = 2 + chain if one.asks else 1  # who asks what was looked at looks again at each link of each chain
            for inner in one.here:
                for other, times in self._closures[id(inner)]:
                    by_id[id(other)] = other
                    found[id(other)] = min(found[id(other)] + again * times, _PLENTY)
            self._ways += len(by_id)
            if self._ways > _MAX_WAYS or (one.asks and found.total() > _MAX_ASKED):
                raise TooEntangled
            found[id(one)] = 1
            closure = self._closures[id(one)] = tuple((by_id[other], times) for other, times in found.items())
            self._reaches[id(one)] = _reach(closure)
            chains[id(one)] = 1 + chain
        return chains

    def _at(self, one: Subschema, depth: int) -> "_Turns":
        """Turns for each value, and for each character, so far below a value that this subschema is for."""
        reach = self._reaches[id(one)]
        if depth == 0:
            return reach.turns
        known = self._turns.get((id(one), depth))
        if known is None:
            known = _larger(self._below(reach.in_objects, depth - 1), self._below(reach.in_lists, depth - 1))
            self._turns[id(one), depth] = known
        return known

    def _below(self, holders: "tuple[_Held, ...]", depth: int) -> "_Turns":
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


_Held = tuple[Children, int]
"""Subschemas for what is in a list or object, and how often they are looked at."""


@dataclass(frozen=True, slots=True)
class _Reach:
    """What is looked at where a subschema is."""

    turns: _Turns
    """For the value itself."""
    in_objects: tuple[_Held, ...]
    in_lists: tuple[_Held, ...]

    @property
    def breadth(self) -> int:
        """Subschemas for what is in the value."""
        return 1 + sum(children.breadth for children, _ in (*self.in_objects, *self.in_lists))


def _reach(closure: "tuple[_Times, ...]") -> _Reach:
    return _Reach(
        _sum((one.weight, one.states, times) for one, times in closure),
        tuple((one.in_objects, times) for one, times in closure if one.in_objects.breadth),
        tuple((one.in_lists, times) for one, times in closure if one.in_lists.breadth),
    )


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
        first = starts.pop()
        stack = [] if id(first) in done else [(first, iter(first.here))]
        begun.add(id(first))
        while stack:
            one, rest = stack[-1]
            inner = next(rest, None)
            if inner is None:
                stack.pop()
                done.add(id(one))
                yield one
                starts += _children(one)
            elif id(inner) not in done:
                if id(inner) in begun:
                    raise Endless
                begun.add(id(inner))
                stack.append((inner, iter(inner.here)))


def _children(one: Subschema) -> Iterator[Subschema]:
    for held in (one.in_objects, one.in_lists):
        yield from (*held.named.values(), *held.others, *held.each)
