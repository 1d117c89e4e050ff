"""What a cantbook does about failures."""

from collections.abc import Iterable
from typing import Any, Final

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.conversion.draft import Draft, fields, word

_CAUSES: Final[dict[Any, str | list[str]]] = {
    "agentic_timeout": "NODE_TIMED_OUT",
    "iteration_cap_exceeded": "ITERATION_CAP_EXCEEDED",
    "contract_violation": ["REQUIRES_NOT_MET", "ENSURES_NOT_MET"],
}
"""What its words for failures are here."""

_ASK: Final = "{{ last_failed_node }} failed ({{ last_error.cause }}: {{ last_error.message }})."


def take_failures(draft: Draft, given: list[Any], nodes: list[JsonObject]) -> None:
    """Handlers of a cantbook."""
    agents = [node["id"] for node in nodes if node.get("type") == "agentic"]
    kept = {node["id"] for node in draft.nodes}
    for index, one in enumerate(given):
        path = f"error_handlers[{index}]"
        handler = fields(one, path)
        draft.leftover(path, handler, ("on", "action", "message"))
        on, message = _CAUSES.get(word(handler.get("on"))), str(handler.get("message") or "")
        # Only agents run into the time limit that it is about.
        covered = [agent for agent in agents if agent in kept] if handler.get("on") == "agentic_timeout" else []
        if on is None:
            draft.lost(f"{path}.on", "CAUSE_UNKNOWN", f"{handler.get('on')!r} is no failure of a cantbook")
        elif handler.get("action") == "hitl_escalate":
            escalation(draft, path, covered, on, message)
        elif handler.get("action") == "abort":
            made: JsonObject = {"on": on, **({"nodes": covered} if covered else {}), "action": "fail"}
            draft.handlers.append(made | ({"message": message[:256]} if message else {}))
        elif handler.get("action") == "inject_hint":
            reason = (
                "a hint is not added to what is asked: an attempt that is made again sees last_error, and may read it"
            )
            draft.lost(f"{path}.action", "HINT", reason)
        else:
            draft.lost(f"{path}.action", "ACTION_UNKNOWN", f"{handler.get('action')!r} is no action of a cantbook")


def escalation(draft: Draft, path: str, nodes: Iterable[str], on: str | list[str], message: str) -> None:
    """A handler that asks a person, and the hold point that it goes to."""
    gate = draft.free_id("escalation")
    draft.nodes.append({"id": gate, "type": "approval", "prompt": f"{message} {_ASK}".strip()})
    covered = list(nodes)
    draft.handlers.append({"on": on, **({"nodes": covered} if covered else {}), "action": "escalate", "to": gate})
    reason = "whoever approves accepts that what would have come after the failure is not done"
    draft.changed(path, "HOLD_POINT_MADE", reason, gate)
