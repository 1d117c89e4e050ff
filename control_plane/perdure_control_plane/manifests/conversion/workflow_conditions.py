"""Conditions of the edges of a workflow spec, as edges have them here."""

import json
from typing import Any, Final

from perdure.runlog.json_objects import JsonObject

_SAYS_YES: Final = frozenset({"approve", "approved", "approved by human"})
_SAYS_NO: Final = frozenset({"reject", "rejected", "rejected by human"})
"""What is looked for in the text that a person's decision leaves, in whatever case; other words may mean anything."""


def condition(source: JsonObject, given: Any) -> JsonObject | None:
    """What an edge from a node has for a condition: nothing, `on` or `when`; None where it cannot be said here."""
    match given:
        case None | "success":
            return {}
        case "failure":
            return {"on": "failed"}
        case {"type": "output_contains", "value": str(sought)} if len(given) == 2:
            return _contains(source, sought)
    return None


def _contains(source: JsonObject, sought: str) -> JsonObject | None:
    if source.get("type") == "agentic":
        return {"when": f'nodes["{source["id"]}"].text.contains({json.dumps(sought)})'}
    if source.get("type") == "approval" and sought.lower() in _SAYS_NO:
        return {"on": "rejected"}
    if source.get("type") == "approval" and sought.lower() in _SAYS_YES:
        return {}
    return None


def after(guards: list[str], guard: str) -> str:
    """A guard that holds where none of those before it does: there the first that holds is taken, here the only one."""
    return " && ".join([*(f"!({before})" for before in guards), guard])
