"""Conditions of the edges of a workflow spec, as edges have them here."""

import json
from typing import Any

from perdure.runlog.json_objects import JsonObject


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
    if source.get("type") == "approval" and "reject" in sought.lower():
        return {"on": "rejected"}
    if source.get("type") == "approval" and "approv" in sought.lower():
        return {}
    return None


def after(guards: list[str], guard: str) -> str:
    """A guard that holds where none of those before it does: there the first that holds is taken, here the only one."""
    return " && ".join([*(f"!({before})" for before in guards), guard])
