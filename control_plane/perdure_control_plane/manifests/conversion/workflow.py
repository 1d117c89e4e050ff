"""Workflow specs: an agent, or steps of agents, functions, people and other workflows, after each other or side by side."""

from typing import Any, Final

from perdure.runlog.json_objects import JsonObject
from perdure.runlog.plans import AGENT_TOOLS
from perdure_control_plane.manifests.conversion.draft import (
    MADE_VERSION,
    Draft,
    NotConvertible,
    fields,
    items,
    named,
    text,
)
from perdure_control_plane.manifests.conversion.workflow_nodes import Components
from perdure_control_plane.manifests.conversion.workflow_steps import Steps, listed

_LOST_OF_AGENTS: Final = {
    "strategy": "how an agent thinks is the executor's own here",
    "runtime_preferences": "agents run in the executor; there is one way",
    "guardrails": "what an agent says is checked by an output_schema; there are no guardrails",
}
_FIELDS: Final = ("type", "name", "steps", "participants", "nodes", "start", "max_steps", "edges")
_GIVEN: Final = [
    {"name": "content", "description": "What is to be done, in the words of whoever asked for it", "required": True},
    {"name": "previous", "description": "What the step before has left", "required": True},
]
_TYPES: Final = ("sequential", "graph", "concurrent")


def convert(values: JsonObject) -> Draft:
    """Makes a manifest of a workflow spec. Raises NotConvertible."""
    if values.get("version", "v1") != "v1":
        raise NotConvertible("version", "VERSION_UNKNOWN", "a workflow spec has the version v1")
    draft = Draft()
    draft.leftover("", values, ("version", "agent", "workflow", "components"))
    components = fields(values.get("components") or {}, "components")
    draft.leftover("components", components, ("agents", "functions", "humans", "workflows"))
    agents = {name: fields(one, f"components.agents.{name}") for name, one in (components.get("agents") or {}).items()}
    if "agent" in values:
        own = fields(values["agent"], "agent")
        agents.setdefault(text(own.get("name"), "agent.name"), own)
    workflow = values.get("workflow")
    spec = fields(workflow, "workflow") if workflow is not None else _alone(agents)
    name = str(spec.get("name") or next(iter(agents), "workflow"))
    draft.head |= {
        "playbook_id": named(draft, name, "workflow.name"),
        "version": MADE_VERSION,
        "title": " ".join(name.split()),
    }
    draft.head["objective"] = f"Do what the workflow {name} does"
    _tell_of_agents(draft, values, agents)
    known = Components(agents, *(_named_parts(components, kind) for kind in ("functions", "humans", "workflows")))
    nested = _Nested(draft, known)
    nested.fill(draft, spec, "workflow")
    nested.tell_of_unused()
    return draft


def _named_parts(components: JsonObject, kind: str) -> JsonObject:
    return fields(components.get(kind) or {}, f"components.{kind}")


class _Nested:
    """Workflows that are steps of others: each becomes a playbook of its own, which is started as a child."""

    def __init__(self, root: Draft, components: Components) -> None:
        self._root = root
        self._components = components
        self._ids: dict[str, str] = {}
        self._taken: set[str] = {root.head["playbook_id"]}
        self._open: list[str] = []

    def fill(self, draft: Draft, spec: JsonObject, path: str) -> None:
        """Makes nodes and edges of a workflow. Raises NotConvertible."""
        kind = spec.get("type", "sequential")
        if kind not in _TYPES:
            reason = f"a workflow of the type {kind!r} decides as it goes who is next; a playbook says it beforehand"
            raise NotConvertible(f"{path}.type", "WORKFLOW_TYPE", reason)
        draft.leftover(path, spec, _FIELDS)
        steps = Steps(draft, self._components, self._started, path)
        steps.add(listed(kind, spec, path))
        steps.connect(kind, items(spec.get("edges"), f"{path}.edges"))
        if kind == "graph":
            steps.begin_with(spec.get("start"), spec.get("max_steps"))

    def _started(self, path: str, ref: str) -> JsonObject:
        """The node that starts a workflow's playbook, but for its id. Raises NotConvertible."""
        if ref in self._open:
            way = " -> ".join([*self._open[self._open.index(ref) :], ref])
            raise NotConvertible(path, "WORKFLOW_CYCLE", f"the workflow would do itself: {way}")
        if ref not in self._ids:
            self._ids[ref] = self._made(ref)
        return {"type": "playbook", "playbook_id": self._ids[ref], "version": MADE_VERSION}

    def _made(self, ref: str) -> str:
        root, path = self._root, f"components.workflows.{ref}"
        spec = fields(self._components.workflows[ref], path)
        draft = Draft(content="inputs.content", losses=root.losses, changes=root.changes)
        name = str(spec.get("name") or ref)
        playbook_id = named(draft, f"{root.head['playbook_id']}.{ref}", path, self._taken)
        self._taken.add(playbook_id)
        draft.head = {"playbook_id": playbook_id, "version": MADE_VERSION, "title": " ".join(name.split())}
        draft.head |= {"objective": f"Do what the workflow {name} does", "inputs": _GIVEN}
        draft.head |= {"tools": root.head["tools"]} if "tools" in root.head else {}
        self._open.append(ref)
        self.fill(draft, spec, path)
        self._open.pop()
        root.children.append(draft)
        return playbook_id

    def tell_of_unused(self) -> None:
        """Says which workflows no step does."""
        for ref in self._components.workflows.keys() - self._ids.keys():
            self._root.lost(f"components.workflows.{ref}", "NEVER_REACHED", "no step does this workflow")


def _alone(agents: dict[str, JsonObject]) -> JsonObject:
    if not agents:
        raise NotConvertible("", "FIELD_MISSING", "there is neither an agent nor a workflow")
    name = next(iter(agents))
    return {"name": name, "steps": [{"id": "run", "kind": "agent", "ref": name}]}


def _tell_of_agents(draft: Draft, values: JsonObject, agents: dict[str, JsonObject]) -> None:
    own = (values.get("agent") or {}).get("name")
    for name, agent in agents.items():
        path = "agent" if name == own else f"components.agents.{name}"
        known = ("name", "description", "system_prompt", "model", "tools", "policies", *_LOST_OF_AGENTS)
        draft.leftover(path, agent, known)
        for field, reason in _LOST_OF_AGENTS.items():
            if agent.get(field):
                draft.lost(f"{path}.{field}", field.upper(), reason)
        _policies(draft, f"{path}.policies", fields(agent.get("policies") or {}, f"{path}.policies"))


def _policies(draft: Draft, path: str, given: JsonObject) -> None:
    draft.leftover(path, given, ("tool",))
    tool = fields(given.get("tool") or {}, f"{path}.tool")
    draft.leftover(f"{path}.tool", tool, ("allow", "deny", "network", "filesystem", "shell"))
    for field in ("network", "filesystem", "shell"):
        if tool.get(field) is not None:
            reason = "the tools that agents have here read files, and nothing else"
            draft.lost(f"{path}.tool.{field}", "TOOL_POLICY", reason)
    policy: dict[str, Any] = draft.head.setdefault("tools", {}) if tool.get("allow") or tool.get("deny") else {}
    for word in ("allow", "deny"):
        for index, name in enumerate(items(tool.get(word), f"{path}.tool.{word}")):
            if name not in AGENT_TOOLS:
                draft.lost(f"{path}.tool.{word}[{index}]", "TOOL_UNKNOWN", f"there is no tool {name!r} here")
            elif name not in policy.setdefault(word, []):
                policy[word].append(name)
    if not policy:
        draft.head.pop("tools", None)
