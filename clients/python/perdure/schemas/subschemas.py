"""What of a schema applies to what of a value: its subschemas, and the ways from one to another."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from referencing import Registry
from referencing.jsonschema import DRAFT202012

from perdure.schemas.patterns import states

_SAME: Final = ("not", "if", "then", "else")
"""Keywords with a schema for the same value."""

_SAME_LISTS: Final = ("allOf", "anyOf", "oneOf")
_DYNAMIC: Final = ("$dynamicRef", "$recursiveRef")


@dataclass(slots=True)
class Children:
    """Subschemas for what a list or object holds."""

    named: "dict[str | int, Subschema]" = field(default_factory=dict)
    """By the name, or place, of what they apply to."""
    others: "list[Subschema]" = field(default_factory=list)
    """For what has none of these names."""
    each: "list[Subschema]" = field(default_factory=list)
    """For all, or for any."""


@dataclass(slots=True)
class Subschema:
    """One subschema. Where it names another of the same value, that is in `here`."""

    weight: int = 1
    """Turns that looking at one value takes, at most."""
    states: int = 0
    """Turns that each character of a text takes, at most."""
    again: int = 1
    """How often what is in `here` may be looked at for each time that this is."""
    here: "list[Subschema]" = field(default_factory=list)
    in_objects: Children = field(default_factory=Children)
    in_lists: Children = field(default_factory=Children)


@dataclass(slots=True)
class Subschemas:
    """All that can be reached from a schema; `root` is the schema itself. Raises Unresolvable where a reference leads
    nowhere."""

    root: Subschema
    references: int = 0
    """How often the schema refers to another."""
    states: int = 0
    """Turns that a character takes where all patterns are tried."""
    branches: bool = False
    """Whether there is a choice of which the faults of every branch could be told."""
    unbounded: str | None = None
    """A keyword in it whose meaning depends on the way on which it is reached."""


def subschemas(schema: Any) -> Subschemas:
    """Reads a schema that is valid."""
    return _Reader().read(schema)


class _Reader:
    def __init__(self) -> None:
        self._known: dict[int, Subschema] = {}
        self._waiting: list[tuple[Subschema, dict[str, Any], Any]] = []
        self._any = Subschema(weight=10)  # each is hashed, and compared with others
        for children in (self._any.in_objects, self._any.in_lists):
            children.each.append(self._any)

    def read(self, schema: Any) -> Subschemas:
        resource = DRAFT202012.create_resource(schema)
        registry: Registry[Any] = Registry().with_resource(resource.id() or "", resource)
        found = Subschemas(self._subschema(schema, registry.resolver_with_root(resource)))
        while self._waiting:
            subschema, contents, resolver = self._waiting.pop()
            if "$ref" in contents:
                resolved = resolver.lookup(contents["$ref"])
                subschema.here.append(self._subschema(resolved.contents, resolved.resolver))
                found.references += 1
            found.branches |= "anyOf" in contents or "oneOf" in contents
            found.unbounded = found.unbounded or next((word for word in _DYNAMIC if word in contents), None)
            self._same_value(subschema, contents, resolver)
            self._in_objects(subschema, contents, resolver)
            self._in_lists(subschema, contents, resolver)
            found.states += subschema.states + sum(map(states, contents.get("patternProperties", {})))
        return found

    def _subschema(self, contents: Any, resolver: Any) -> Subschema:
        """The subschema for a place in the document. It is filled in later, since it may be inside itself."""
        known = self._known.get(id(contents)) if isinstance(contents, dict) else Subschema()
        if known is None:
            known = self._known[id(contents)] = Subschema()
            inner = DRAFT202012.create_resource(contents)
            self._waiting.append((known, contents, resolver.in_subresource(inner)))
        return known

    def _all(self, values: Iterable[Any], resolver: Any) -> "list[Subschema]":
        return [self._subschema(value, resolver) for value in values if isinstance(value, dict | bool)]

    def _same_value(self, subschema: Subschema, contents: dict[str, Any], resolver: Any) -> None:
        subschema.weight += len(contents) + sum(_size(contents.get(word)) for word in ("enum", "const", "required"))
        if isinstance(contents.get("dependentRequired"), dict):
            subschema.weight += _size(contents["dependentRequired"])
        if isinstance(contents.get("pattern"), str):
            subschema.states = states(contents["pattern"])
        if "unevaluatedProperties" in contents or "unevaluatedItems" in contents:
            subschema.again = 4  # who asks what was looked at looks once more at all that may have
        subschema.here += self._all((contents[word] for word in _SAME if word in contents), resolver)
        for word in _SAME_LISTS:
            subschema.here += self._all(contents.get(word, ()), resolver)
        subschema.here += self._all(contents.get("dependentSchemas", {}).values(), resolver)

    def _in_objects(self, subschema: Subschema, contents: dict[str, Any], resolver: Any) -> None:
        children, patterns = subschema.in_objects, contents.get("patternProperties", {})
        for name, inner in contents.get("properties", {}).items():
            children.named[name] = self._subschema(inner, resolver)
        children.others += self._all(_given(contents, "additionalProperties"), resolver)
        children.each += self._all(_given(contents, "unevaluatedProperties", "propertyNames"), resolver)
        children.each += self._all(patterns.values(), resolver)
        if patterns:
            children.each.append(Subschema(weight=len(patterns), states=sum(map(states, patterns))))

    def _in_lists(self, subschema: Subschema, contents: dict[str, Any], resolver: Any) -> None:
        children = subschema.in_lists
        for index, inner in enumerate(contents.get("prefixItems", ())):
            children.named[index] = self._subschema(inner, resolver)
        children.others += self._all(_given(contents, "items"), resolver)
        children.each += self._all(_given(contents, "contains", "unevaluatedItems"), resolver)
        if contents.get("uniqueItems"):
            children.each.append(self._any)


def _given(contents: dict[str, Any], *words: str) -> Iterator[Any]:
    return (contents[word] for word in words if word in contents)


def _size(value: Any) -> int:
    """How many values a JSON value is."""
    match value:
        case dict():
            return 1 + sum(map(_size, value.values()))
        case list():
            return 1 + sum(map(_size, value))
    return 1
