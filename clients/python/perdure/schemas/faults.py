"""What is wrong with a value, in words that do not repeat it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from jsonschema_rs import ValidationError

BRANCHING: Final = ("anyOf", "oneOf")
"""Keywords whose faults hold those of every branch."""

_WITH_BOUND: Final = (
    *("const", "enum", "exclusiveMaximum", "exclusiveMinimum", "maxItems", "maxLength", "maxProperties", "maximum"),
    *("minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern"),
)
"""Keywords of which the schema's own value is told."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a value: where in it, the keyword that says so, and a few words."""

    place: tuple[str | int, ...]
    keyword: str
    said: str


def told(error: ValidationError) -> Fault:
    """What the library found, in our words."""
    error = _telling(error)
    keyword = str(error.schema_path[-1]) if error.kind.name == "falseSchema" and error.schema_path else error.kind.name
    return Fault(tuple(error.instance_path), keyword, _said(keyword, error.kind.value)[:300])


def _telling(error: ValidationError) -> ValidationError:
    """Where nothing of a choice fits, what is wrong in the branch that got deepest, if one got any deeper."""
    while error.kind.name in BRANCHING:
        inner = [found for branch in error.kind.value for found in branch]
        deepest = max(inner, key=lambda found: len(found.instance_path), default=error)
        if len(deepest.instance_path) <= len(error.instance_path):
            break
        error = deepest
    return error


def _said(keyword: str, value: Any) -> str:
    match keyword, value:
        case (("required" | "dependentRequired"), _):
            return f"{value!r} is a required property"
        case "type", list():
            return f"is not of type {', '.join(map(repr, value))}"
        case (("additionalProperties" | "unevaluatedProperties"), list()):
            verb = "was" if len(value) == 1 else "were"
            return f"Additional properties are not allowed ({', '.join(map(repr, value))} {verb} unexpected)"
        case (("additionalProperties" | "unevaluatedProperties"), _):
            return "Additional properties are not allowed"
        case "propertyNames", ValidationError():
            return f"has a property whose name {_said(value.kind.name, value.kind.value)}"
        case _ if keyword in _WITH_BOUND:
            return f"does not satisfy {keyword}: {value!r}"
    return f"does not satisfy {keyword}"


def line(faults: Iterator[Fault]) -> str:
    """The fault that matters most, with its place; empty where there is none."""
    first = min(faults, key=lambda fault: (len(fault.place), fault.keyword in BRANCHING), default=None)
    if first is None:
        return ""
    place = "".join(("$", *(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first.place)))
    return f"{place} {first.said}"[:400]
