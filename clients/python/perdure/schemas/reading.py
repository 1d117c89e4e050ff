"""Whether a schema is one, and can be checked in bounded time; what of it cannot is refused with a way out."""

import re
from dataclasses import dataclass
from typing import Any, Final

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError
from referencing.exceptions import Unresolvable

from perdure.schemas.patterns import states
from perdure.schemas.subschemas import subschemas
from perdure.schemas.work import Endless, TooEntangled, Work

MAX_REFERENCES: Final = 1_000
"""Most references in a schema; reading them takes the square of their number."""

MAX_STATES: Final = 10_000
"""Size of all patterns of a schema; what is repeated a number of times counts as often."""


class SchemaInvalid(ValueError):
    """It is no JSON Schema, or none that can be checked in bounded time; `place` is where in the schema."""

    def __init__(self, place: tuple[str | int, ...], reason: str) -> None:
        super().__init__(reason)
        self.place: Final = place


@dataclass(frozen=True, slots=True)
class ReadSchema:
    """A schema, ready for checks."""

    validator: Draft202012Validator
    work: Work
    branches: bool
    """Whether a fault may hold the faults of many branches."""


def read(schema: Any) -> ReadSchema:
    """Reads a JSON Schema (2020-12). Raises SchemaInvalid."""
    try:
        # It fetches nothing from the addresses that a schema may name.
        validator = Draft202012Validator(
            schema, pattern_options=RegexOptions(), offline=True, validate_formats=False, mask="it"
        )
    except ValidationError as error:
        raise _invalid(schema, error) from error
    found = subschemas(schema)
    if found.unbounded is not None:
        raise SchemaInvalid((), f"{found.unbounded} cannot be checked in bounded time; say it with $ref")
    if found.references > MAX_REFERENCES:
        raise SchemaInvalid((), f"it has {found.references} references, and {MAX_REFERENCES} are the most")
    if found.states > MAX_STATES:
        raise SchemaInvalid((), _too_large(found.states))
    try:
        return ReadSchema(validator, Work(found.root), found.branches)
    except Endless as error:
        reason = "it leads back to itself without going any deeper into the value"
        raise SchemaInvalid((), reason) from error
    except TooEntangled as error:
        raise SchemaInvalid((), "it combines so many schemas for one value that a check may never end") from error


def _invalid(schema: Any, error: ValidationError) -> SchemaInvalid:
    place = tuple(error.instance_path)
    match error.kind.name:
        case "$ref":
            try:
                subschemas(schema)
            except Unresolvable as unresolvable:
                reason = f"it refers to {unresolvable.ref!r}, which it does not hold"
                return SchemaInvalid(place, f"{reason}; a schema refers to nothing outside itself")
        case "format" if states(str(error.instance)) > MAX_STATES:
            return SchemaInvalid(place, _too_large(states(str(error.instance))))
        case "format" if isinstance(pattern := error.instance, str) and _is_pattern(pattern):
            reason = f"the pattern {pattern[:100]!r} cannot be matched in linear time"
            way_out = "write it without look-around and back-references; allOf and not combine simple patterns"
            return SchemaInvalid(place, f"{reason}: {way_out}")
    return SchemaInvalid(place, f"it is not JSON Schema: {error.message[:300]}")


def _too_large(parts: int) -> str:
    return f"its patterns have {parts} parts, with what they repeat, and {MAX_STATES} are the most"


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
