"""Whether a value has the shape that a schema asks for."""

from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure.schemas.check import SchemaCheck as BoundedCheck
from perdure.schemas.reading import SchemaInvalid


class SchemaCheck:
    """Checks values against one JSON Schema, which may come from anywhere."""

    def __init__(self, schema: JsonObject) -> None:
        self.schema: Final = schema
        self._unusable = ""
        try:
            self._check: BoundedCheck | None = BoundedCheck(schema)
        except SchemaInvalid as error:
            self._check, self._unusable = None, f"its schema cannot be used: {error}"[:400]

    def fault(self, value: object) -> str:
        """What is wrong with a value, as one line that does not repeat the value; empty where nothing is."""
        return self._unusable if self._check is None else self._check.fault(value)
