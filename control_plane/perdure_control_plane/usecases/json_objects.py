"""JSON that callers send as bytes: read once, as strictly as every later reader needs it."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from perdure.runlog.json_objects import JsonObject, TooDeep, check_levels
from perdure.schemas.check import SchemaCheck
from perdure.schemas.reading import SchemaInvalid
from perdure.secrets.encrypted import holds_encrypted
from perdure.secrets.paths import unreferenced
from perdure.v1 import plans_pb2
from perdure_control_plane.domain.errors import FieldFault, FieldInvalid, field_invalid

MAX_TURNS: Final = 10_000_000
"""Most turns of a check of what a caller sends: nobody else is served meanwhile. It takes 0.4 s at worst."""


def json_object(content: bytes, field: str) -> JsonObject:
    """The object that bytes in UTF-8 hold; empty bytes hold an empty one. Raises FieldInvalid, which names the field."""
    value = json_value(content or b"{}", field)
    if not isinstance(value, dict):
        raise field_invalid(field, "is not a JSON object")
    return value


def json_value(content: bytes, field: str) -> Any:
    """The value, of any kind, that bytes in UTF-8 hold. Raises FieldInvalid, which names the field."""
    try:
        text = content.decode("utf-8")
        value: Any = json.loads(text, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
        check_levels(value, content)
    except (TooDeep, RecursionError) as error:
        raise field_invalid(field, str(TooDeep())) from error
    except ValueError as error:
        raise field_invalid(field, f"is not JSON in UTF-8: {error}") from error
    return value


def check_schema(schema: bytes, value: Any, field: str) -> None:
    """Raises FieldInvalid where a value is not what a JSON Schema says, with a fault for each place in it.

    Of a value in which anything is encrypted nobody here can tell: whoever encrypted it answers for it.
    """
    if holds_encrypted(value):
        return
    try:
        faults = list(_check(schema).faults(value, MAX_TURNS))
    except SchemaInvalid as error:
        raise field_invalid(field, f"has a schema that cannot be used: {error}") from error
    if faults:
        raise FieldInvalid(*(FieldFault(field + _place(fault.place), fault.said) for fault in faults))


def check_input(plan: plans_pb2.Plan, value: Any, field: str) -> None:
    """Raises FieldInvalid where the input of a run is not what its plan says: above all, where it holds a secret.

    Nobody here can look into what is encrypted, so the executor looks at such an input before any node begins.
    """
    faults = unreferenced(value, (one.keys for one in plan.sensitive_inputs))
    if found := [FieldFault(f"{field}{_place(place)}", fault) for place, fault in faults]:
        raise FieldInvalid(*found)
    if plan.input_schema:
        check_schema(plan.input_schema, value, field)


@lru_cache(maxsize=256)
def _check(schema: bytes) -> SchemaCheck:
    return SchemaCheck(json.loads(schema))


def _place(path: Iterable[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _no_constant(word: str) -> None:
    raise ValueError(f"there is no {word} in JSON")
