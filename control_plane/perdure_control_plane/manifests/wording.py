"""What is wrong with a field, in words for whoever wrote the document."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import BaseModel

from perdure_control_plane.manifests import model

NODE_TYPES: Final[Mapping[str, type[model.Node]]] = {
    "agentic": model.AgenticNode,
    "deterministic": model.DeterministicNode,
    "function": model.FunctionNode,
    "approval": model.ApprovalNode,
    "wait": model.WaitNode,
    "playbook": model.PlaybookNode,
    "map": model.MapNode,
}
"""The types of nodes that this version runs."""


def reason(kind: str, location: tuple[int | str, ...], said: str, given: object) -> str:
    """A sentence for a fault that the model found, from the kind, place and words that it gives."""
    match kind:
        case "extra_forbidden":
            return f"unknown field{suggestion(str(location[-1]), _fields(location[:-1]))}"
        case "missing":
            return "it is required, and missing"
        case "string_type" if isinstance(given, int | float):
            return f'it must be text; write it in quotes: "{json.dumps(given)}"'
        case "string_type":
            return "it must be text"
        case "string_pattern_mismatch" if location == ("title",):
            return "it must be one line, without a break at its end"
        case "string_pattern_mismatch" if "env" in location:
            return f"{_short(given)} is not the name of a variable: letters, digits and '_', and no digit first"
        case "string_pattern_mismatch":
            return f"{_short(given)} is not 1 to 128 of letters, digits, '.', '_' and '-'"
        case "union_tag_invalid" | "union_tag_not_found":
            return _type_reason(given)
        case "dict_type" if location[:1] == ("inputs",) and len(location) < 3:
            return "it must be an object, which is a JSON Schema, or a list of names"
        case "dict_type" | "model_type" | "model_attributes_type":
            return "it must be an object"
        case "list_type":
            return "it must be a list"
        case "int_type":
            return f"it must be a whole number{_unquoted(given, int)}"
        case "float_type":
            return f"it must be a number{_unquoted(given, int, float)}"
        case "bool_type":
            return f"it must be true or false{_unquoted(given, bool)}"
        case "too_long":
            return f"it must have {said.partition('should have ')[2].replace(' after validation', '')}"
        case _:
            return re.sub(r"^(Value error, |\w+ should )", lambda found: "" if "," in found[0] else "it must ", said)


def no_cel(source: str, said: str) -> str:
    """Why an expression is not CEL, and where, from what its parser says."""
    faults = list(_CEL_FAULT.finditer(said.removeprefix(f"Failed to parse expression '{source}': ")))
    # Of the fault that the parser names after "Incomplete", the cause follows.
    told = [fault for fault in faults if not fault["why"].startswith("Incomplete")] or faults
    if not told:
        return said.splitlines()[0]
    why = told[0]["why"].removeprefix("Syntax error: ")
    if "'<EOF>'" in why or int(told[0]["column"]) > len(source):
        return "it ends where more is expected"
    place = f"character {told[0]['column']}"
    where = f"line {told[0]['line']}, {place}" if "\n" in source else place
    if "token recognition error" in why:
        return f"what begins at {where} cannot be read"
    if unexpected := _CEL_UNEXPECTED.search(why):
        return f"{unexpected[1]} is not expected at {where}"
    return f"{why}, at {where}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that asks whether another word was meant; empty where none is near."""
    near = difflib.get_close_matches(word[:100], sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _unquoted(given: object, *wanted: type) -> str:
    """The end of a sentence for what would be right without its quotes."""
    if not isinstance(given, str) or len(given) > 30:
        return ""
    try:
        value = json.loads(given, parse_constant=str)
    except ValueError:
        return ""
    return f"; write it without quotes: {given}" if type(value) in wanted else ""


def _type_reason(given: object) -> str:
    known = f"one of {', '.join(NODE_TYPES)}"
    if not isinstance(given, dict):
        return "it must be an object"
    named = given.get("type")
    if named is None:
        return f"it is required, and missing: {known}"
    near = suggestion(named, NODE_TYPES) if isinstance(named, str) else ""
    return f"{_short(named)} is no type of node; write {known}{near}"


def _fields(location: tuple[int | str, ...]) -> list[str]:
    """The fields of the part of a document at a place, as they are written."""
    words = [part for part in location if isinstance(part, str)]
    part = _PARTS.get(words[-1]) if words else model.Manifest
    return [field.alias or name for name, field in part.model_fields.items()] if part else []


def _short(given: object) -> str:
    return repr(given if not isinstance(given, str) or len(given) <= 60 else f"{given[:60]}…")


_PARTS: Final[Mapping[str, type[BaseModel]]] = {
    **NODE_TYPES,
    "on_failure": model.OnFailure,
    "retry": model.Retry,
    "requires": model.Needs,
    "ensures": model.Promises,
    "output_files": model.PromisedFile,
    "contract": model.EdgeContract,
    "edges": model.Edge,
    "error_handlers": model.FailureTaker,
    "phases": model.Phase,
    "roles": model.Role,
    "required_evidence": model.Requirement,
    "list": model.Input,
    "tools": model.Tools,
    "scopes": model.Scopes,
    "runtime_defaults": model.RuntimeDefaults,
}
"""The parts of a document by the last word of the place that they stand at."""

_CEL_FAULT: Final = re.compile(r"^ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?P<why>.*)$", re.MULTILINE)
_CEL_UNEXPECTED: Final = re.compile(
    r"(?:mismatched input|extraneous input|no viable alternative at input) ('.+?')(?: expecting|$)"
)
