"""Whether a value has the shape that a schema asks for."""

from typing import Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from perdure.runlog.json_objects import JsonObject


class SchemaCheck:
    """Checks values against one JSON Schema."""

    def __init__(self, schema: JsonObject) -> None:
        self.schema: Final = schema
        # With a registry of its own the validator fetches nothing from the addresses a schema may name.
        self._validator: Final = Draft202012Validator(schema, registry=Registry())

    def fault(self, value: object) -> str:
        """What is wrong with a value, as one line that does not repeat the value; empty where nothing is."""
        try:
            error = best_match(self._validator.iter_errors(value))
        except Unresolvable as error:
            return f"the schema refers to {error.ref!r}, which it does not hold"
        return _line(error) if error is not None else ""


def _line(error: ValidationError) -> str:
    wanted = {
        "required": f"must have {', '.join(map(repr, _missing(error)))}",
        "additionalProperties": "has a property that the schema does not allow",
    }
    told = wanted.get(str(error.validator), f"does not satisfy {error.validator}: {error.validator_value!r}")
    return f"{error.json_path} {told}"[:400]


def _missing(error: ValidationError) -> list[str]:
    required = error.validator_value if isinstance(error.validator_value, list) else []
    return [str(name) for name in required if not (isinstance(error.instance, dict) and name in error.instance)]
