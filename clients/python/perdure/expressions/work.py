"""How much work an expression is at most: known from its text and from what it reads, before it is evaluated.

A value is read by copying it whole, so that what is evaluated costs as much as it is large. How large the value of a part is
at most follows from the sizes of its own parts; in a loop, from how often the variable is in what is made of each item.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from perdure.expressions.sizes import EACH, ONE, Lengths, Path, Size, found, holder, joined, measured, together

_MADE: Final = 4
"""Steps for each part of a value that is made, and not only read: it takes memory."""

_SOME: Final = Size(32)
"""A number as a text is no larger, nor what a function gives that makes neither lists nor texts longer."""

_UNKNOWN: Final = (Size(1), (1,) * 64)
"""The least that a name may stand for of which nothing is known: where it is a list, it has an item."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is read of a variable, or with number 0 of the values that have names."""

    variable: int
    path: Path

    def __truediv__(self, path: Path) -> "Place":
        return Place(self.variable, self.path + path)


@dataclass(frozen=True, slots=True)
class Work:
    """What an evaluation comes to, and the steps that it takes, at most."""

    steps: Size
    size: Size
    lengths: Lengths
    place: Place | None = None
    """Where it is read, if it is."""
    some_of: Place | None = None
    """Where its items are read, all or some of them and each once, if it is not read itself."""

    @property
    def items(self) -> Place | None:
        """Where its items are read, all or some of them and each once, if they are."""
        return self.some_of if self.place is None else self.place / (EACH,)


@dataclass(frozen=True, slots=True)
class Variable:
    """The variable of a loop."""

    number: int
    lengths: Lengths
    place: Place | None
    """Where its values are read, if they are."""


@dataclass(slots=True)
class Scope:
    """Values by their names, and the variables of the loops around."""

    values: Mapping[str, Any] | None
    """None where nobody knows them."""
    variables: dict[str, Variable] = field(default_factory=dict)
    loops: int = 0
    """How many loops have begun so far; each is the number of its variable."""
    longest: int = 0
    """Most items of a list or map that a loop goes through."""
    _numbered: dict[int, Variable] = field(default_factory=dict)
    _known: dict[Path, tuple[Size, Lengths]] = field(default_factory=dict)

    def begin(self, lengths: Lengths, place: Place | None) -> Variable:
        """A variable for a further loop."""
        self.loops += 1
        self._numbered[self.loops] = Variable(self.loops, lengths, place)
        return self._numbered[self.loops]

    def size(self, place: Place) -> Size:
        """The size of what is read at a place."""
        return Size(0, (((place.variable, place.path), 1),)) if place.variable else self._measured(place.path)[0]

    def lengths(self, place: Place) -> Lengths:
        """The lengths in what is read at a place, or in any of it."""
        path, variable = place.path, self._numbered.get(place.variable)
        while variable is not None and variable.place is not None:
            path, variable = variable.place.path + path, self._numbered.get(variable.place.variable)
        return self._measured(path)[1] if variable is None else variable.lengths[len(place.path) :]

    def _measured(self, path: Path) -> tuple[Size, Lengths]:
        if self.values is None:
            return _UNKNOWN
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = measured(found(self.values, path))
        return known


class Part(Protocol):
    """A part of an expression that has a value of its own."""

    def work(self, scope: Scope) -> Work:
        """The work that it is, with all of its parts."""
        ...


@dataclass(frozen=True, slots=True)
class Literal:
    """A number or a text, written out."""

    size: Size

    def work(self, scope: Scope) -> Work:
        """The work that it is."""
        return Work(self.size, self.size, ())


@dataclass(frozen=True, slots=True)
class Read:
    """A name, and the fields that are read of it in turn."""

    chain: tuple[str, ...]

    def work(self, scope: Scope) -> Work:
        """The work that it is."""
        variable = scope.variables.get(self.chain[0])
        first = Place(0, self.chain[:1]) if variable is None else Place(variable.number, ())
        fields = self.chain[1:]
        # What has the first field is not copied; what has a later one is.
        steps = sum((scope.size(first / fields[:end]) for end in range(1, len(fields))), ONE)
        place = first / fields
        size, known = scope.size(place), variable is None or variable.place is not None
        return Work(steps + size, size, scope.lengths(place), place if known else None)


@dataclass(frozen=True, slots=True)
class Item:
    """A field or an item of a value."""

    of: Part
    at: tuple[Part, ...] = ()

    def work(self, scope: Scope) -> Work:
        """The work that it is."""
        whole = self.of.work(scope)
        places = [place.work(scope) for place in self.at]
        some_of = whole.items / (EACH,) if self.at and whole.items is not None else None
        return Work(_steps([whole, *places]) + whole.size, whole.size, whole.lengths[1:], None, some_of)


@dataclass(frozen=True, slots=True)
class Made:
    """A list or map that is written out."""

    parts: tuple[Part, ...]
    is_map: bool

    def work(self, scope: Scope) -> Work:
        """The work that it is."""
        parts = [part.work(scope) for part in self.parts]
        size = _sizes(parts) + holder(len(parts) * self.is_map)
        lengths = (len(parts), *together([part.lengths for part in parts]))
        return Work(_steps(parts) + size * _MADE, size, lengths)


@dataclass(frozen=True, slots=True)
class Operation:
    """Parts with signs between them."""

    parts: tuple[Part, ...]
    sums: int
    """How often lists or texts may be put together."""
    passes_on: bool
    """Whether its value may be that of a part, or of some of them together; otherwise it is a number, or true or false."""

    def work(self, scope: Scope) -> Work:
        """The work that it is."""
        parts = [part.work(scope) for part in self.parts]
        whole = _sizes(parts)
        steps = _steps(parts) + whole * (1 + _MADE * self.sums)
        if not self.passes_on:
            return Work(steps, ONE, ())
        lengths = [part.lengths for part in parts]
        return Work(steps, whole, joined(lengths) if self.sums else together(lengths))


@dataclass(frozen=True, slots=True)
class Call:
    """A function that is called with values."""

    parts: tuple[Part, ...]
    passes_on: bool
    """Whether what it gives may be as large as what it gets."""

    def work(self, scope: Scope) -> Work:
        """The work that it is."""
        parts = [part.work(scope) for part in self.parts]
        whole = _sizes(parts) + _SOME
        if not self.passes_on:
            return Work(_steps(parts) + whole, ONE, ())
        return Work(_steps(parts) + whole * _MADE, whole, together([part.lengths for part in parts]))


@dataclass(frozen=True, slots=True)
class Match:
    """A text that is matched with a pattern, which is read anew each time."""

    text: Part
    pattern: Part
    states: int
    """Places of the pattern at which a matcher may be at once."""
    read: int
    """Steps of reading the pattern."""

    def work(self, scope: Scope) -> Work:
        """The work that it is."""
        parts = [self.text.work(scope), self.pattern.work(scope)]
        return Work(_steps(parts) + parts[0].size * (2 * self.states) + Size(self.read), ONE, ())


@dataclass(frozen=True, slots=True)
class Loop:
    """A macro, which does its parts for every item of a list or map."""

    over: Part
    variable: str
    parts: tuple[Part, ...]
    keeps: bool
    """Whether it makes a list of some of the items themselves."""
    collects: bool
    """Whether it makes a list. To add an item, it copies the list."""

    def work(self, scope: Scope) -> Work:
        """The work that it is."""
        over = self.over.work(scope)
        count, items = over.lengths[0] if over.lengths else 1, over.items
        scope.longest = max(scope.longest, count)
        variable, before = scope.begin(over.lengths[1:], items), scope.variables
        scope.variables = {**before, self.variable: variable}
        parts = [part.work(scope) for part in self.parts]
        scope.variables = before

        def all_of(size: Size) -> Size:
            return size.over(
                variable.number, count, lambda path: over.size if items is None else scope.size(items / path)
            )

        item = Place(variable.number, ())
        steps = over.steps + all_of(_steps(parts) + scope.size(item) + Size(3))
        if not self.collects:
            return Work(steps, ONE, ())
        made = Work(Size(), scope.size(item), over.lengths[1:], item) if self.keeps else parts[-1]
        size = all_of(made.size) + holder()
        some_of = None
        if items is not None and made.place is not None and made.place.variable == variable.number:
            some_of = items / made.place.path
        return Work(steps + size * (_MADE + count // 2), size, (count, *made.lengths), None, some_of)


def _steps(parts: list[Work]) -> Size:
    return sum((part.steps for part in parts), Size())


def _sizes(parts: list[Work]) -> Size:
    return sum((part.size for part in parts), Size())
