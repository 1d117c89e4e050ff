"""Whether a value has the shape that a schema asks for, where nobody has looked at the schema before."""

from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure.schemas.check import SchemaCheck
from perdure.schemas.reading import SchemaInvalid


class UntrustedSchema:
    """A JSON Schema that may come from anywhere: with one that cannot be used, no value is right."""

    def __init__(self, schema: JsonObject) -> None:
        self.schema: Final = schema
        self._unusable = ""
        try:
            self._check: SchemaCheck | None = SchemaCheck(schema)
        except SchemaInvalid as error:
            self._check, self._unusable = None, f"its schema cannot be used: {error}"[:400]

    def fault(self, value: object) -> str:
        """What is wrong with a value, as one line that does not repeat the value; empty where nothing is."""
        return self._unusable if self._check is None else self._check.fault(value)
