"""What is stored and started before anything is bent: a playbook for each thing that a run can wait for or come to."""

from dataclasses import dataclass
from typing import Any, Final

STEP: Final = {"type": "function", "function": "noop", "effect": "none"}
SCHEMA: Final = {
    "type": "object",
    "required": ["n"],
    "properties": {
        "n": {"type": "integer", "minimum": 0, "maximum": 10**6},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
INPUTS: Final = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "names": {"type": "array"}},
    "required": ["n"],
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A playbook, and what a flow of it is when nothing more happens to it."""

    nodes: list[dict[str, Any]]
    ends_as: str
    queue: str = ""
    more: tuple[tuple[str, Any], ...] = ()


def _gate(**fields: Any) -> list[dict[str, Any]]:
    gate = {"id": "ask", "type": "approval", "prompt": "Go on with {{ inputs.n }}?", "subject": {"n": "{{ inputs.n }}"}}
    return [{**gate, **fields}, {"id": "go", **STEP, "depends": ["ask"]}]


SAMPLES: Final = {
    "done": Sample(
        [{"id": "a", "type": "function", "function": "echo", "effect": "none", "inputs": {"n": "{{ inputs.n }}"}}],
        "SUCCEEDED",
    ),
    "failed": Sample([{"id": "a", **STEP, "function": "fail", "on_failure": {"max_iterations": 1}}], "FAILED"),
    "expired": Sample(_gate(timeout_seconds=1), "FAILED"),
    "approve": Sample(_gate(), "WAITING"),
    "review": Sample(_gate(kind="review", content_key="n", content_schema={"type": "integer"}), "WAITING"),
    "input": Sample(_gate(kind="input", content_schema=SCHEMA), "WAITING"),
    "select": Sample(_gate(kind="select", options=["blue", {"id": "green", "label": "{{ inputs.n }}"}]), "WAITING"),
    "signal": Sample(
        [
            {"id": "paid", "type": "wait", "signal": "payment", "payload_schema": SCHEMA, "timeout_seconds": 3600},
            {"id": "b", **STEP},
        ],
        "WAITING",
    ),
    "backs-off": Sample(
        [{"id": "a", **STEP, "function": "fail", "retry": {"initial_seconds": 3600, "maximum_seconds": 3600}}],
        "WAITING",
    ),
    "command": Sample(
        [
            {
                "id": "say",
                "type": "deterministic",
                "command": "echo",
                "args": ["n is", "{{ inputs.n }}"],
                "effect": "none",
            }
        ],
        "SUCCEEDED",
    ),
    "agent": Sample(
        [{"id": "think", "type": "agentic", "agent": "thinker", "prompt": "What is {{ inputs.n }}?"}], "SUCCEEDED"
    ),
    "map": Sample(
        [
            {
                "id": "each",
                "type": "map",
                "items": "[1, 2, inputs.n]",
                "node": {**STEP, "inputs": {"one": "{{ item }}"}},
            },
            {"id": "all", **STEP, "depends": ["each"]},
        ],
        "SUCCEEDED",
    ),
    "asks-many": Sample(
        [{"id": "each", "type": "map", "items": "[1, 2]", "node": {"type": "approval", "prompt": "{{ item }}?"}}],
        "WAITING",
    ),
    "parent": Sample(
        [{"id": "child", "type": "playbook", "playbook_id": "approve", "version": "1.0.0", "inputs": {"n": 1}}],
        "WAITING",
    ),
    "branches": Sample(
        [
            {"id": "a", **STEP, "depends": []},
            {"id": "b", "type": "approval", "prompt": "b?", "depends": []},
            {"id": "c", "type": "wait", "duration_seconds": 3600, "depends": []},
            {"id": "d", **STEP, "depends": ["a", "b", "c"]},
        ],
        "WAITING",
    ),
    "doubt": Sample([{"id": "pay", **STEP, "effect": "at_most_once"}, {"id": "b", **STEP}], "WAITING", queue="played"),
    "queued": Sample([{"id": "a", **STEP}], "RUNNING", queue="nobody"),
}
"""By the names that their playbooks have, before the portion's."""


def manifest(name: str, suffix: str) -> dict[str, Any]:
    """A sample as a manifest."""
    nodes = [
        {**node, "playbook_id": f"{node['playbook_id']}{suffix}"} if "playbook_id" in node else node
        for node in SAMPLES[name].nodes
    ]
    head = {"playbook_id": f"{name}{suffix}", "version": "1.0.0", "title": name, "objective": f"Be {name}"}
    return {**head, "inputs": INPUTS, "acceptance_criteria": ["it is"], "nodes": nodes}
