"""Writes values of known types into the lists of a snapshot, and reads them back in the same order.

A shape is how values of one type are written; it is put together from the type's hints, once. There are shapes for
numbers, texts, bytes, enumerations, bodies of events, what may be absent, collections, named tuples and dataclasses. Any
other type is refused when the shape is made, not when a value comes along.
"""

import dataclasses
import hashlib
import types
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

from perdure.v1.run_snapshots_pb2 import WalkSnapshot

SHORT: Final = 1024
"""Characters up to which a text counts as one that says what stands where, and not as somebody's content."""


class Writer:
    """The lists that values are written into. What is frozen and stands in several places is written once."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.fractions: list[float] = []
        self.texts: list[str] = []
        self.bodies: list[bytes] = []
        self.contents: list[bytes] = []
        self.shared: dict[int, tuple[int, object]] = {}


class Reader:
    """The same lists, read from their beginning. `given` are values by type that are not written."""

    def __init__(self, message: WalkSnapshot, given: dict[type, object]) -> None:
        self.numbers: Iterator[int] = iter(message.numbers)
        self.fractions: Iterator[float] = iter(message.fractions)
        self.texts: Iterator[str] = iter(message.texts)
        self.bodies: Iterator[bytes] = iter(message.bodies)
        self.contents: Iterator[bytes] | None = iter(message.contents) if message.contents else None
        self.shared: list[object] = []
        self.given = given

    def content(self) -> bytes:
        """The next content; nothing where they were left out."""
        return b"" if self.contents is None else next(self.contents)

    def is_at_end(self) -> bool:
        """Whether everything was read."""
        lists: tuple[Iterator[Any] | None, ...] = (
            self.numbers, self.fractions, self.texts, self.bodies, self.contents
        )  # fmt: skip
        return all(rest is None or next(rest, None) is None for rest in lists)


class Shape(NamedTuple):
    """How values of one type are written and read."""

    write: Callable[[Writer, Any], None]
    read: Callable[[Reader], Any]


def shape_of(hint: Any, *, given: tuple[type, ...] = ()) -> Shape:
    """The shape of a type. Values of the types that are `given` are not written. Raises TypeError for an unknown type."""
    return _Shapes(given).of(hint)


def shape_name(hint: Any, *, given: tuple[type, ...] = ()) -> str:
    """A name for everything that is written of a type: fields and members in order. Another field, another name."""
    shapes = _Shapes(given)
    shapes.of(hint)
    return hashlib.sha256("\n".join(shapes.described).encode()).hexdigest()[:16]


_LEAVES: Final[dict[type, Shape]] = {
    int: Shape(lambda writer, value: writer.numbers.append(value), lambda reader: next(reader.numbers)),
    bool: Shape(lambda writer, value: writer.numbers.append(int(value)), lambda reader: bool(next(reader.numbers))),
    float: Shape(lambda writer, value: writer.fractions.append(value), lambda reader: next(reader.fractions)),
    bytes: Shape(lambda writer, value: writer.contents.append(value), lambda reader: reader.content()),
}


class _Shapes:
    def __init__(self, given: tuple[type, ...]) -> None:
        self._given = given
        self._known: dict[Any, Shape] = {str: Shape(_write_text, _read_text), **_LEAVES}
        self.described: list[str] = []

    def of(self, hint: Any) -> Shape:
        """The shape of a type, made when it is first asked for."""
        if hint not in self._known:
            self._known[hint] = self._make(hint)
        return self._known[hint]

    def _make(self, hint: Any) -> Shape:
        origin, parts = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self._optional(hint, parts)
        if origin in (list, set, frozenset) or (origin is tuple and parts[1:] == (...,)):
            return _several(origin, self.of(parts[0]))
        if origin is dict:
            return _mapping(self.of(parts[0]), self.of(parts[1]))
        if not isinstance(hint, type):
            raise TypeError(f"no shape is known for {hint!r}")
        if hint in self._given:
            return Shape(lambda writer, value: None, lambda reader: reader.given[hint])
        if issubclass(hint, Message):
            return Shape(
                lambda writer, value: writer.bodies.append(value.SerializeToString(deterministic=True)),
                lambda reader: hint.FromString(next(reader.bodies)),
            )
        if issubclass(hint, Enum):
            return self._enumeration(hint)
        if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
            return self._record(hint)
        raise TypeError(f"no shape is known for {hint!r}")

    def _optional(self, hint: Any, parts: tuple[Any, ...]) -> Shape:
        kinds = [part for part in parts if part is not types.NoneType]
        if len(kinds) != 1 or len(parts) != 2:
            raise TypeError(f"of {hint!r} only one part may be a value")
        inner = self.of(kinds[0])

        def write(writer: Writer, value: Any) -> None:
            writer.numbers.append(int(value is not None))
            if value is not None:
                inner.write(writer, value)

        return Shape(write, lambda reader: inner.read(reader) if next(reader.numbers) else None)

    def _enumeration(self, hint: type[Enum]) -> Shape:
        members = list(hint)
        places = {member: place for place, member in enumerate(members)}
        self.described.append(f"{hint.__name__}: {[member.name for member in members]}")
        return Shape(
            lambda writer, value: writer.numbers.append(places[value]), lambda reader: members[next(reader.numbers)]
        )

    def _record(self, hint: type) -> Shape:
        hints = get_type_hints(hint)
        names = [name for name in hints if name in getattr(hint, "_fields", ()) or name in _fields(hint)]
        self.described.append(f"{hint.__name__}: {[(name, str(hints[name])) for name in names]}")
        parts = [(name, self.of(hints[name])) for name in names]

        def write(writer: Writer, value: Any) -> None:
            for name, shape in parts:
                shape.write(writer, getattr(value, name))

        def read(reader: Reader) -> Any:
            values = {name: shape.read(reader) for name, shape in parts}
            if not dataclasses.is_dataclass(hint):
                return hint(**values)
            # Not by its constructor, which may make a beginning of its own.
            made = object.__new__(hint)
            for name, value in values.items():
                object.__setattr__(made, name, value)
            return made

        frozen = dataclasses.is_dataclass(hint) and hint.__dataclass_params__.frozen  # type: ignore[attr-defined]  # what `dataclass` leaves
        return _shared(Shape(write, read)) if frozen else Shape(write, read)


def _fields(hint: type) -> set[str]:
    return {field.name for field in dataclasses.fields(hint)} if dataclasses.is_dataclass(hint) else set()


def _write_text(writer: Writer, value: str) -> None:
    if len(value) > SHORT:
        writer.numbers.append(1)
        writer.contents.append(value.encode())
    else:
        writer.numbers.append(0)
        writer.texts.append(value)


def _read_text(reader: Reader) -> str:
    return reader.content().decode() if next(reader.numbers) else next(reader.texts)


def _several(kind: Callable[[Iterator[Any]], Any], item: Shape) -> Shape:
    ordered = kind in (set, frozenset)

    def write(writer: Writer, values: Any) -> None:
        writer.numbers.append(len(values))
        for value in sorted(values) if ordered else values:
            item.write(writer, value)

    return Shape(write, lambda reader: kind(item.read(reader) for _ in range(next(reader.numbers))))


def _mapping(key: Shape, value: Shape) -> Shape:
    def write(writer: Writer, values: dict[Any, Any]) -> None:
        writer.numbers.append(len(values))
        for name, one in values.items():
            key.write(writer, name)
            value.write(writer, one)

    def read(reader: Reader) -> dict[Any, Any]:
        return {key.read(reader): value.read(reader) for _ in range(next(reader.numbers))}

    return Shape(write, read)


def _shared(inner: Shape) -> Shape:
    """What never changes may stand in many places; a number says where it stood first, or that this is the first."""

    def write(writer: Writer, value: Any) -> None:
        place, _ = writer.shared.get(id(value), (0, None))
        writer.numbers.append(place)
        if not place:
            writer.shared[id(value)] = (len(writer.shared) + 1, value)
            inner.write(writer, value)

    def read(reader: Reader) -> Any:
        place = next(reader.numbers)
        if place:
            return reader.shared[place - 1]
        at = len(reader.shared)
        reader.shared.append(None)
        reader.shared[at] = inner.read(reader)
        return reader.shared[at]

    return Shape(write, read)
