"""JSON and other text that people give to a command: in an option, in a file that it names, or on standard input.

Nothing else of the command line reads any. What cannot be read is told with the option that it came by.
"""

import json
import pathlib
from collections import Counter
from typing import Any, Final, NoReturn

import typer

from perdure.runlog.json_objects import JsonObject, TooDeep, check_levels

MAX_DIGITS: Final = 4_300
"""Most digits of a whole number; the interpreter reads no more."""


def read_text(path: pathlib.Path, option: str) -> str:
    """A text file; `-` is standard input. Raises BadParameter, naming the option that names the file."""
    try:
        return typer.get_text_stream("stdin").read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{named(path)} is not text in UTF-8", param_hint=f"'{option}'") from error
    except OSError as error:
        raise typer.BadParameter(f"{named(path)} cannot be read: {error.strerror}", param_hint=f"'{option}'") from error


def named(path: pathlib.Path) -> str:
    """A file as people call it."""
    return "standard input" if str(path) == "-" else str(path)


def json_object_or_file(given: str, option: str) -> JsonObject:
    """The JSON object that an option holds, or the file that it names as @FILE. Raises BadParameter."""
    if not given.startswith("@"):
        return json_object(given, option)
    path = pathlib.Path(given[1:])
    return json_object(read_text(path, option), option, named(path))


def json_object(text: str, option: str, where: str = "it") -> JsonObject:
    """A JSON object. Raises BadParameter, naming the option that it came by."""
    document = json_value(text, option, where)
    if not isinstance(document, dict):
        raise typer.BadParameter(f"{where} is not a JSON object", param_hint=f"'{option}'")
    return document


def json_value(text: str, option: str, where: str = "it") -> Any:
    """Any JSON value. Raises BadParameter, naming the option that it came by."""
    try:
        return parse_json(text, option, where)
    except ValueError as error:
        raise typer.BadParameter(f"{where} is not JSON: {error}", param_hint=f"'{option}'") from error


def value_or_file(given: str, option: str) -> Any:
    """The JSON value of a text, or of the file that it names as @FILE; a text that is no JSON is that text. Raises
    BadParameter."""
    if given.startswith("@"):
        path = pathlib.Path(given[1:])
        return json_value(read_text(path, option), option, named(path))
    return json_or_text(given, option)


def json_or_text(text: str, option: str, where: str = "it") -> Any:
    """A value as JSON where that keeps every sign of a number: 1.10, 007 and 1e3 are versions and codes, not numbers. Any
    other text is itself. Raises BadParameter where it is nested too deep."""
    try:
        value = parse_json(text, option, where)
    except ValueError:
        return text
    if isinstance(value, int | float) and json.dumps(value) != text:
        return text
    return value


def parse_json(text: str, option: str, where: str = "it") -> Any:
    """What a text is as JSON. Raises ValueError where it is none, and BadParameter where it is nested too deep."""
    try:
        value = json.loads(text, object_pairs_hook=_fields, parse_int=_integer, parse_constant=_no_constant)
        check_levels(value)
        if "\\u" in text:
            _check_signs(value)
    except (TooDeep, RecursionError) as error:
        raise typer.BadParameter(f"{where} {TooDeep()}", param_hint=f"'{option}'") from error
    return value


def _check_signs(value: Any) -> None:
    """Raises ValueError where a text is none: JSON can write half of a sign, and nothing can be made of it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text in it holds one half of a surrogate pair") from error


def _fields(pairs: list[tuple[str, Any]]) -> JsonObject:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return fields


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number in it has {len(digits)} digits, and {MAX_DIGITS} are the most; write it as text")
    return int(digits)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"there is no {word} in JSON")
