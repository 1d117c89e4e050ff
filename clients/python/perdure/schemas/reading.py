"""Whether a schema is one, and can be checked in bounded time; what of it cannot is refused with a way out."""

import re
from dataclasses import dataclass
from typing import Any, Final

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from perdure.schemas.forms import AmbiguousNames, OtherVersion, check_form
from perdure.schemas.subschemas import REFUSED, ReferenceInvalid, subschemas
from perdure.schemas.work import Endless, TooEntangled, Work, extent

MAX_DEPTH: Final = 128
"""Most levels of a schema."""

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
        if extent(schema, MAX_DEPTH).depth > MAX_DEPTH:
            raise SchemaInvalid((), f"it is nested too deep; {MAX_DEPTH} levels are the most")
        check_form(schema)
        work = _work(schema)
        # Last, for it may take as long as a check. It fetches nothing from the addresses that a schema may name.
        validator = Draft202012Validator(
            schema, pattern_options=RegexOptions(), offline=True, validate_formats=False, mask="it"
        )
    except SchemaInvalid:
        raise
    except ValidationError as error:
        raise _invalid(error) from error
    except OtherVersion as error:
        raise SchemaInvalid(("$schema",), str(error)) from error
    except AmbiguousNames as error:
        raise SchemaInvalid((), str(error)) from error
    except ValueError as error:
        raise SchemaInvalid((), f"it is not JSON: {str(error)[:300]}") from error
    return ReadSchema(validator, *work)


def _work(schema: Any) -> tuple[Work, bool]:
    """How much work checks are, and whether there are branches. Raises SchemaInvalid where that may have no end."""
    try:
        found = subschemas(schema)
    except ReferenceInvalid as error:
        raise SchemaInvalid((), f"it refers to {error.reference[:100]!r}, which {error}") from error
    if found.refused is not None:
        raise SchemaInvalid((), f"{found.refused} {REFUSED[found.refused]}")
    if found.references > MAX_REFERENCES:
        raise SchemaInvalid((), f"it has {found.references} references, and {MAX_REFERENCES} are the most")
    if found.states > MAX_STATES:
        raise SchemaInvalid(
            (), f"its patterns have {found.states} parts, with what they repeat, and {MAX_STATES} are the most"
        )
    try:
        return Work(found.root), found.branches
    except Endless as error:
        reason = "it leads back to itself without going any deeper into the value"
        raise SchemaInvalid((), reason) from error
    except TooEntangled as error:
        raise SchemaInvalid((), "it combines so many schemas for one value that a check may never end") from error


def _invalid(error: ValidationError) -> SchemaInvalid:
    place = tuple(error.instance_path)
    if error.kind.name == "format" and isinstance(pattern := error.instance, str) and _is_pattern(pattern):
        reason = f"the pattern {pattern[:100]!r} cannot be matched in linear time"
        way_out = "write it without look-around and back-references; allOf and not combine simple patterns"
        return SchemaInvalid(place, f"{reason}: {way_out}")
    return SchemaInvalid(place, f"it is not JSON Schema: {error.message[:300]}")


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
