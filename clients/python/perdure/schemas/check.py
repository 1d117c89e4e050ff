"""Whether a value is as a schema says."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from jsonschema_rs import ValidationError

from perdure.schemas.faults import Fault, line, told
from perdure.schemas.reading import read
from perdure.schemas.work import extent

MAX_DEPTH: Final = 128
"""Most levels of a value that is checked."""

MAX_TURNS: Final = 50_000_000
"""Most turns of a check. It takes two seconds where each is as long as it can be."""

_MAX_STACK: Final = 5_000
"""Most subschemas that are looked at one inside the other; a seventh of what is known to fit on a stack of 8 MiB."""

_MAX_BREADTH: Final = 2_000_000
"""Most subschemas, counted for each level of a value, that are looked through to say how much work its check is."""

_CLEAR_TURNS: Final = 50_000
"""Most turns of a check, times the value's size in thousands, after which all faults are told: each is told with a copy of
what is wrong."""

_MAX_FAULTS: Final = 100


class SchemaCheck:
    """Checks values against one JSON Schema (2020-12). Raises SchemaInvalid."""

    def __init__(self, schema: Any) -> None:
        self._schema: Final = read(schema)

    def faults(self, value: Any, most: int = MAX_TURNS) -> Iterator[Fault]:
        """What is wrong with a JSON value, up to a hundred faults; none where it is as the schema says. `most` is how many
        turns its check may take."""
        found = extent(value, MAX_DEPTH)
        work = self._schema.work
        if found.depth > MAX_DEPTH:
            yield Fault((), "", f"is nested too deep to be checked; {MAX_DEPTH} levels are the most")
            return
        if found.depth * work.chain > _MAX_STACK or found.depth * work.breadth > _MAX_BREADTH:
            yield Fault((), "", f"is nested too deep, with {found.depth} levels, for all that its schema combines")
            return
        turns = work.of(found)
        if turns > most:
            said = f"is too large for its schema: a check may take {turns} turns, and {most} are the most"
            yield Fault((), "", said)
            return
        try:
            fits = self._schema.validator.is_valid(value)
        except ValueError as error:  # half of a character, for instance
            yield Fault((), "", f"is not JSON: {error}"[:300])
            return
        if not fits:
            yield from self._told(value, turns * (1 + found.size // 1000))

    def fault(self, value: Any) -> str:
        """What is wrong with a value above all, as one line that does not repeat the value; empty where nothing is."""
        return line(self.faults(value))

    def _told(self, value: Any, turns: int) -> Iterator[Fault]:
        if turns <= _CLEAR_TURNS:
            yield from map(told, islice(self._schema.validator.iter_errors(value), _MAX_FAULTS))
        elif self._schema.branches:
            yield Fault((), "", "is not as its schema says; it is too large to say where")
        else:
            try:
                self._schema.validator.validate(value)
            except ValidationError as error:
                yield told(error)
