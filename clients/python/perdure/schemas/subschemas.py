"""What of a schema applies to what of a value: its subschemas, and the ways from one to another."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from perdure.schemas.forms import is_schema
from perdure.schemas.patterns import states

_SAME: Final = ("not", "if", "then", "else")
"""Keywords with a schema for the same value."""

_SAME_LISTS: Final = ("allOf", "anyOf", "oneOf")

_OF_NUMBERS: Final = ("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "multipleOf")
"""Keywords that look at every digit of a number."""

KNOWN: Final = frozenset((
    *_SAME, *_SAME_LISTS, *_OF_NUMBERS, "type", "$ref", "const", "enum", "pattern", "maxLength", "minLength",
    "maxItems", "minItems", "maxProperties", "minProperties", "maxContains", "minContains", "uniqueItems",
    "required", "dependentRequired", "dependentSchemas",
    "properties", "patternProperties", "additionalProperties", "propertyNames", "unevaluatedProperties",
    "prefixItems", "items", "contains", "unevaluatedItems",
))  # fmt: skip
"""Keywords that are looked at to say how much work a check is. Nothing else that a schema says takes part in one."""

_MAX_REFERRED_TO: Final = 200_000
"""Most values that are looked through to know whether what is referred to is a schema."""

_FRACTION: Final = 30
"""Turns that it takes to say whether a number is a multiple of one with a fraction."""

_TINY: Final = 1e-20
"""A multiple of less than this takes longer by far."""

REFUSED: Final = {
    "$dynamicRef": "cannot be checked in bounded time; say it with $ref",
    "$recursiveRef": "cannot be checked in bounded time; say it with $ref",
    "dependencies": "is not of JSON Schema 2020-12; say it with dependentRequired or dependentSchemas",
}
"""Keywords that would take part in a check and are not counted, each with the way out."""


@dataclass(slots=True)
class Children:
    """Subschemas for what a list or object holds."""

    named: "dict[str | int, Subschema]" = field(default_factory=dict)
    """By the name, or place, of what they apply to."""
    others: "list[Subschema]" = field(default_factory=list)
    """For what has none of these names."""
    each: "list[Subschema]" = field(default_factory=list)
    """For all, or for any."""

    @property
    def breadth(self) -> int:
        """How many these are."""
        return len(self.named) + len(self.others) + len(self.each)


@dataclass(slots=True)
class Subschema:
    """One subschema. Where it names another of the same value, that is in `here`."""

    weight: int = 1
    """Turns that looking at one value takes, at most."""
    states: int = 0
    """Turns that each character of a text takes, at most."""
    asks: bool = False
    """Whether it asks, of what a list or object holds, which parts others in `here` have looked at."""
    here: "list[Subschema]" = field(default_factory=list)
    in_objects: Children = field(default_factory=Children)
    in_lists: Children = field(default_factory=Children)


@dataclass(slots=True)
class Subschemas:
    """All that can be reached from a schema; `root` is the schema itself."""

    root: Subschema
    references: int = 0
    """How often the schema refers to another."""
    states: int = 0
    """Turns that a character takes where all patterns are tried."""
    branches: bool = False
    """Whether there is a choice of which the faults of every branch could be told."""
    refused: str | None = None
    """A keyword in it that is not counted."""


class ReferenceInvalid(Exception):
    """A schema refers to what is no schema in it; the message says what it is instead."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(reason)
        self.reference: Final = reference


def subschemas(schema: Any) -> Subschemas:
    """Reads what is written as a schema is. Raises ReferenceInvalid."""
    return _Reader().read(schema)


class _Reader:
    def __init__(self) -> None:
        self._known: dict[int, Subschema] = {}
        self._waiting: list[tuple[Subschema, dict[str, Any]]] = []
        self._referred_to = 0
        self._any = Subschema(weight=10)  # each is hashed, and compared with others
        for children in (self._any.in_objects, self._any.in_lists):
            children.each.append(self._any)

    def read(self, schema: Any) -> Subschemas:
        resource = DRAFT202012.create_resource(schema)
        registry: Registry[Any] = Registry()
        resolver = registry.resolver_with_root(resource)
        found = Subschemas(self._subschema(schema))
        while self._waiting:
            subschema, contents = self._waiting.pop()
            if "$ref" in contents:
                resolver, referred = self._referred(contents["$ref"], resolver)
                subschema.here.append(self._subschema(referred))
                found.references += 1
            found.branches |= "anyOf" in contents or "oneOf" in contents
            found.refused = found.refused or next((word for word in REFUSED if word in contents), None)
            self._same_value(subschema, contents)
            self._in_objects(subschema, contents)
            self._in_lists(subschema, contents)
            found.states += sum(map(states, contents.get("patternProperties", {})))
            found.states += states(contents["pattern"]) if "pattern" in contents else 0
        return found

    def _referred(self, reference: str, resolver: Any) -> tuple[Any, Any]:
        """What a reference leads to, and a resolver that keeps what it has found on its way there."""
        try:
            resolved = resolver.lookup(reference)
        except (Unresolvable, ValueError) as error:
            raise ReferenceInvalid(reference, "it does not hold; a schema refers to nothing outside itself") from error
        if id(resolved.contents) not in self._known:
            self._referred_to += size(resolved.contents)
            if self._referred_to > _MAX_REFERRED_TO:
                raise ReferenceInvalid(reference, "holds what much else refers to")
            if not is_schema(resolved.contents):
                raise ReferenceInvalid(reference, "is no schema")
        return resolved.resolver, resolved.contents

    def _subschema(self, contents: Any) -> Subschema:
        """The subschema for a place in the document. It is filled in later, since it may be inside itself."""
        known = self._known.get(id(contents)) if isinstance(contents, dict) else Subschema()
        if known is None:
            known = self._known[id(contents)] = Subschema()
            self._waiting.append((known, contents))
        return known

    def _all(self, values: Iterable[Any]) -> "list[Subschema]":
        return [self._subschema(value) for value in values if isinstance(value, dict | bool)]

    def _same_value(self, subschema: Subschema, contents: dict[str, Any]) -> None:
        subschema.weight += len(contents) + sum(2 * size(contents.get(word)) for word in ("enum", "const", "required"))
        subschema.weight += size(contents.get("dependentRequired", 0)) + len(contents.get("dependentSchemas", ()))
        if "pattern" in contents:
            subschema.states += states(contents["pattern"])
        if not isinstance(contents.get("multipleOf", 1), int):
            subschema.weight += _FRACTION if abs(contents["multipleOf"]) > _TINY else _FRACTION * 10
            subschema.states += 2
        subschema.states += sum(word in contents for word in _OF_NUMBERS)
        subschema.states += sum(size(contents.get(word), int | float) for word in ("enum", "const"))
        subschema.asks = "unevaluatedProperties" in contents or "unevaluatedItems" in contents
        subschema.here += self._all(_given(contents, *_SAME))
        for word in _SAME_LISTS:
            subschema.here += self._all(contents.get(word, ()))
        subschema.here += self._all(contents.get("dependentSchemas", {}).values())

    def _in_objects(self, subschema: Subschema, contents: dict[str, Any]) -> None:
        children, patterns = subschema.in_objects, contents.get("patternProperties", {})
        for name, inner in contents.get("properties", {}).items():
            children.named[name] = self._subschema(inner)
        children.others += self._all(_given(contents, "additionalProperties"))
        children.each += self._all(_given(contents, "unevaluatedProperties", "propertyNames"))
        children.each += self._all(patterns.values())
        if patterns:
            children.each.append(Subschema(weight=len(patterns), states=sum(map(states, patterns))))

    def _in_lists(self, subschema: Subschema, contents: dict[str, Any]) -> None:
        children = subschema.in_lists
        for index, inner in enumerate(contents.get("prefixItems", ())):
            children.named[index] = self._subschema(inner)
        children.others += self._all(_given(contents, "items"))
        children.each += self._all(_given(contents, "contains", "unevaluatedItems"))
        if contents.get("uniqueItems"):
            children.each.append(self._any)


def _given(contents: dict[str, Any], *words: str) -> Iterator[Any]:
    return (contents[word] for word in words if word in contents)


def size(value: Any, of: Any = object) -> int:
    """How many values, or values of one kind, a JSON value is."""
    count, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        match one:
            case dict():
                waiting += one.values()
            case list():
                waiting += one
        count += isinstance(one, of)
    return count
