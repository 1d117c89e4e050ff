"""Evaluates the expressions in a node's strings."""

import datetime
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from perdure.expressions.functions import FUNCTIONS
from perdure.expressions.loops import MAX_STEPS, Loops, loops
from perdure.expressions.templates import Expression, TemplateInvalid, parts
from perdure.runlog.json_objects import JsonObject
from perdure.v1 import instances_pb2
from perdure_executor.results import CannotPrepare

_UNDEFINED: Final = re.compile(r"Undefined variable or function: '(\w+)'")
"""What the library says of a name that it does not know, and of a function that is not there for a value."""


def render(value: Any, bindings: JsonObject) -> Any:
    """A JSON value with every expression in its strings evaluated.

    A string that is one expression becomes the expression's value, whatever its type; in any other string values stand
    as text. Raises CannotPrepare.
    """
    return _render(value, bindings, _Spent())


def render_stored(stored: bytes, see: Callable[[], JsonObject]) -> Any:
    """JSON as a plan has it, with every expression in its strings evaluated; `see` is asked only where there is one.

    Raises CannotPrepare.
    """
    value = json.loads(stored)
    return render(value, see()) if b"{{" in stored else value


def value_of(source: str, bindings: JsonObject) -> Any:
    """What a CEL expression comes to, as JSON has it. Raises CannotPrepare."""
    return _evaluate(source, bindings, _Spent())


def holds(guard: str, bindings: JsonObject) -> bool:
    """Whether a CEL expression is true. Raises CannotPrepare where it is neither that nor false."""
    value = _evaluate(guard, bindings, _Spent())
    if not isinstance(value, bool):
        raise _failed(guard, f"a guard is true or false, and this is {type(value).__name__}")
    return value


def render_text(template: str, bindings: JsonObject) -> str:
    """A string with its expressions evaluated, as text. Raises CannotPrepare."""
    return template if "{{" not in template else _text(_render_string(template, bindings, _Spent()))


@dataclass(slots=True)
class _Spent:
    """Steps that the expressions of one value may have taken so far."""

    steps: int = 0


def _render(value: Any, bindings: JsonObject, spent: _Spent) -> Any:
    match value:
        case str():
            return _render_string(value, bindings, spent)
        case dict():
            return {key: _render(inner, bindings, spent) for key, inner in value.items()}
        case list():
            return [_render(inner, bindings, spent) for inner in value]
        case _:
            return value


def _render_string(template: str, bindings: JsonObject, spent: _Spent) -> Any:
    if "{{" not in template:
        return template
    try:
        found = parts(template)
    except TemplateInvalid as error:
        raise _failed(template, str(error)) from error
    values = [_evaluate(part.source, bindings, spent) if isinstance(part, Expression) else part for part in found]
    return values[0] if len(values) == 1 else "".join(map(_text, values))


def _evaluate(source: str, bindings: JsonObject, spent: _Spent) -> Any:
    try:
        program, found = _compiled(source)
        if not found.harmless:
            _check_work(source, found, bindings, spent)
        return _plain(program.execute(bindings))
    except (CannotPrepare, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # whatever the library raises; where it panics, that is no Exception
        raise _failed(source, _told(error, source)) from error


@lru_cache(maxsize=4096)
def _compiled(source: str) -> tuple[Any, Loops]:
    import cel  # late: it brings a terminal's editor along, for which no program should wait at its start

    return cel.compile(source), loops(source)


def _check_work(source: str, found: Loops, bindings: JsonObject, spent: _Spent) -> None:
    """Refuses what may take very long, before it begins: nobody could end it."""
    steps, largest = found.steps(bindings)
    spent.steps += steps
    if spent.steps > MAX_STEPS:
        loop = f"loops {found.depth} deep over up to {largest} items" if found.depth else "it"
        before = f", after {spent.steps - steps} of others beside it" if spent.steps > steps else ""
        raise _failed(source[:200], f"{loop} may take {steps} steps{before}, and {MAX_STEPS} are the most")


def _told(error: BaseException, source: str) -> str:
    match error:
        case KeyError(args=(key, *_)):
            return f"there is no {key!r}"
        case ZeroDivisionError():
            return "it divides by zero"
        case RecursionError():
            return "a value in it is nested too deep"
    said = next(iter(str(error).splitlines()), type(error).__name__)
    undefined = _UNDEFINED.match(said)
    if undefined and undefined[1] in FUNCTIONS and f"{undefined[1]}(" in source:
        return f"there is a function {undefined[1]}(), and not for what it is given"
    return said


def _plain(value: Any) -> Any:
    """A value as JSON has it. Raises ValueError where JSON has no such value."""
    match value:
        case datetime.datetime():
            return value.isoformat()
        case datetime.timedelta():
            return f"{value.total_seconds()}s"
        case bytes():
            return value.decode("utf-8", errors="replace")
        case float() if not math.isfinite(value):
            raise ValueError(f"its value is {value}, which is no number in JSON")
        case dict():
            return {_key(key): _plain(inner) for key, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case _:
            return value


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"a map has the key {key!r}; in JSON keys are text")  # told as any other fault
    return key


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _failed(source: str, description: str) -> CannotPrepare:
    return CannotPrepare(instances_pb2.FAILURE_CAUSE_EXPRESSION, f"{source!r}: {description}"[:500])
