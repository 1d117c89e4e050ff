"""Nodes of the steps of a workflow spec, one kind after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from perdure.runlog.instances import NAME
from perdure.runlog.json_objects import JsonObject
from perdure.runlog.plans import AGENT_TOOLS
from perdure_control_plane.manifests.conversion.draft import Draft, fields, items, number, word

_HUMAN: Final = (
    "description", "assignee", "timeout_seconds", "on_timeout", "request_type", "options", "default_option", "context",
    "response_role",
)  # fmt: skip
_KINDS: Final[JsonObject] = {
    "approval": {},
    "review": {"kind": "review"},
    "correction": {"kind": "review"},
    "selection": {"kind": "select"},
    "freeform": {"kind": "input"},
}
_PROVIDERS: Final = ("openai", "anthropic")


@dataclass(frozen=True, slots=True)
class Components:
    """What steps may name."""

    agents: dict[str, JsonObject]
    functions: JsonObject
    humans: JsonObject
    workflows: JsonObject


class NodeMaker:
    """Makes nodes of what a spec says of agents, functions, people and other workflows."""

    def __init__(self, draft: Draft, components: Components, started: Callable[[str, str], JsonObject]) -> None:
        """`started` gives the node that starts the playbook of a workflow, of which it is told path and name."""
        self.instead: dict[str, str] = {}
        """The node that is done when another one has failed."""
        self._draft = draft
        self._known = components
        self._started = started

    def make(self, path: str, name: str, step: JsonObject, kind: Any, ref: Any) -> JsonObject:
        """The node of a step; a hold point where what it does is not here."""
        ref = word(ref)
        match kind:
            case "agent" if ref in self._known.agents:
                return self._agent(path, name, str(ref), step)
            case "function" if ref in self._known.functions:
                return self._function(path, name, str(ref), step)
            case "human" if ref in self._known.humans:
                return self._human(name, str(ref))
            case "workflow" if ref in self._known.workflows:
                return self._workflow(f"{path}.ref", name, str(ref), step)
        what = f"{kind} {ref}" if kind and ref else f"step {name}"
        reason = f"what the {what} does is not here: somebody does it, and says so"
        self._draft.lost(f"{path}.ref", "REF_UNKNOWN", reason)
        self._draft.comments.setdefault(name, []).append(reason)
        return {"id": name, "type": "approval", "prompt": f"Do the {what} by hand, and approve when it is done."}

    def _agent(self, place: str, name: str, ref: str, step: JsonObject) -> JsonObject:
        agent, path = self._known.agents[ref], f"agents.{ref}"
        said = str(agent.get("system_prompt") or agent.get("description") or f"Do the step {name}.").strip()
        made: JsonObject = {
            "id": name,
            "type": "agentic",
            "agent": ref,
            "prompt": f"{said}\n\n{{{{ {self._draft.content} }}}}",
        }
        model = fields(agent.get("model") or {}, f"{path}.model")
        self._draft.leftover(f"{path}.model", model, ("provider", "name"))
        self._draft.leftover(f"{path}.tools", fields(agent.get("tools") or {}, f"{path}.tools"), ("include",))
        if model.get("provider") in _PROVIDERS:
            made |= {"provider": model["provider"], "model": str(model.get("name") or "")}
        elif model:
            reason = (
                f"there is no provider {model.get('provider')!r} here: the built-in one stands in, no language model"
            )
            self._draft.changed(f"{path}.model.provider", "PROVIDER_UNKNOWN", reason, name)
        tools = items(fields(agent.get("tools") or {}, f"{path}.tools").get("include"), f"{path}.tools.include")
        for index, tool in enumerate(tools):
            if tool not in AGENT_TOOLS:
                self._draft.lost(f"{path}.tools.include[{index}]", "TOOL_UNKNOWN", f"there is no tool {tool!r} here")
        made["tools"] = [tool for tool in tools if tool in AGENT_TOOLS]
        return made | self._timeout(place, step)

    def _function(self, path: str, name: str, ref: str, step: JsonObject) -> JsonObject:
        place = f"components.functions.{ref}"
        function = fields(self._known.functions[ref] or {}, place)
        self._draft.leftover(place, function, ("implementation",))
        implementation = function.get("implementation")
        reason = f"put {implementation or ref} into the FUNCTIONS of an executor's module, as {ref!r}"
        self._draft.changed(path, "FUNCTION_REGISTERED", reason, name)
        return {"id": name, "type": "function", "function": ref, **self._timeout(path, step)}

    def _workflow(self, path: str, name: str, ref: str, step: JsonObject) -> JsonObject:
        given = {"content": f"{{{{ {self._draft.content} }}}}", "previous": {}}
        made = {"id": name, **self._started(path, ref), "inputs": given}
        reason = (
            f"the workflow {ref} is a playbook of its own, {made['playbook_id']}: store and publish it before this one"
        )
        self._draft.changed(path, "WORKFLOW_STARTED", reason, name)
        return made | self._timeout(path, step)

    def _human(self, name: str, ref: str) -> JsonObject:
        path = f"components.humans.{ref}"
        human = fields(self._known.humans[ref] or {}, path)
        self._draft.leftover(path, human, _HUMAN)
        made: JsonObject = {"id": name, "type": "approval", "prompt": str(human.get("description") or f"{ref}: go on?")}
        if human.get("context"):
            made["subject"] = {"context": human["context"]}
        if human.get("timeout_seconds"):
            made["timeout_seconds"] = number(human["timeout_seconds"], f"{path}.timeout_seconds")
        self._asked(path, made, human)
        for field in ("assignee", "response_role"):
            if human.get(field):
                reason = "name in assignees who that is here: keys/NAME, users/NAME or role:NAME"
                self._draft.lost(f"{path}.{field}", field.upper(), reason)
        self._on_timeout(path, made, human.get("on_timeout"))
        return made

    def _asked(self, path: str, made: JsonObject, human: JsonObject) -> None:
        """What a person is asked for, and of which options."""
        asked = human.get("request_type")
        if isinstance(asked, str) and asked in _KINDS:
            made |= _KINDS[asked]
        elif asked is not None:
            self._draft.lost(f"{path}.request_type", "REQUEST_TYPE", f"{asked!r} is no request of a workflow spec")
        options = human.get("options") or []
        if made.get("kind") == "select" and isinstance(options, list):
            texts = dict.fromkeys(map(str, options))
            ids = {text: text if NAME.fullmatch(text) else f"option_{number}" for number, text in enumerate(texts, 1)}
            made["options"] = [{"id": ids[text], "label": text} if ids[text] != text else text for text in ids]
            default = human.get("default_option")
            if default is not None:
                made["default_option"] = ids.get(str(default), str(default))
            return
        for field in ("options", "default_option"):
            if human.get(field):
                reason = "one of several is selected where the request_type is selection"
                self._draft.lost(f"{path}.{field}", field.upper(), reason)

    def _on_timeout(self, path: str, made: JsonObject, action: Any) -> None:
        if action in ("continue", "escalate"):
            made["on_timeout"] = action
        if action == "escalate":
            made["escalate_to"] = [{"to": ["role:admin"]}]
            reason = "a spec does not say to whom; here it is an admin, and it stays open: name them in escalate_to"
            self._draft.changed(f"{path}.on_timeout", "ESCALATED_TO", reason, str(made["id"]))
        elif action not in (None, "fail", "continue"):
            self._draft.lost(f"{path}.on_timeout", "ACTION_UNKNOWN", f"{action!r} is no action of a workflow spec")

    def _timeout(self, path: str, step: JsonObject) -> JsonObject:
        given = step.get("timeout_seconds")
        return {"timeout_seconds": number(given, f"{path}.timeout_seconds")} if given else {}
