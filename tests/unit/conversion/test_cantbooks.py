"""Cantbooks: what each part becomes, and what is said of what becomes something else or nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from perdure_control_plane.manifests.conversion.conversion import Conversion, SourceFormat, convert
from perdure_control_plane.manifests.document import read
from tests.unit.conversion import starters


def converted(text: str, source: SourceFormat | None = None) -> tuple[Conversion, dict[str, Any]]:
    made = convert(text.encode(), source)
    return made, read(made.text).values if made.text else {}


def book(*nodes: dict[str, Any], **fields: Any) -> tuple[Conversion, dict[str, Any]]:
    """Converts a cantbook of some nodes."""
    document = {"version": "1.0", "name": "b", "nodes": list(nodes), **fields}
    return converted(yaml.safe_dump(document, sort_keys=False))


def agent(node_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "agentic", "skill": "s", **fields}


def command(node_id: str = "c", **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "deterministic", "command": "true", **fields}


def codes(found: Any) -> list[tuple[str, str]]:
    return [(one.path, one.code) for one in found]


@pytest.mark.parametrize("name", ["RCASD", "IVTR", "RELEASE"])
def test_every_starter_becomes_a_manifest_without_a_fault(name: str) -> None:
    made, manifest = converted(getattr(starters, name))

    assert made.review is not None
    assert made.review.errors == ()
    assert (made.source, manifest["playbook_id"]) == (SourceFormat.CANTBOOK, name.lower())
    assert codes(made.losses) == ([("error_handlers[0].action", "HINT")] if name == "RCASD" else [])


def test_the_same_document_gives_the_same_text_and_says_what_became_something_else() -> None:
    made, _ = converted(starters.IVTR)

    assert made.text == converted(starters.IVTR)[0].text
    text = made.text.decode()
    assert text.startswith("# Converted from a cantbook.\n")
    assert "  # max_iterations bounds the jumps, too; a cantbook goes back for ever\n  - id: validate\n" in text
    assert text.index("playbook_id") < text.index("inputs:") < text.index("nodes:") < text.index("error_handlers:")


def test_an_input_that_may_be_missing_is_read_with_its_default() -> None:
    _, manifest = converted(starters.IVTR)

    given = manifest["nodes"][0]["inputs"]
    assert given == {"task": "{{ inputs.task }}", "depth": "{{ has(inputs.depth) ? inputs.depth : 2 }}"}
    assert [one["required"] for one in manifest["inputs"]] == [True, False]


def test_an_agent_is_asked_for_what_others_need_of_it() -> None:
    _, manifest = converted(starters.RCASD)

    assert manifest["nodes"][0]["output_schema"]["required"] == ["findings"]
    assert manifest["nodes"][1]["requires"] == {"from": "research", "fields": ["findings"]}
    assert manifest["edges"][0]["contract"] == {"requires": ["topic"], "ensures": ["findings"]}


def test_what_a_cantbook_does_about_failures_is_said_by_handlers() -> None:
    made, manifest = converted(starters.RCASD)

    assert manifest["error_handlers"] == [
        {"on": "failed", "nodes": ["decomposition"], "action": "escalate", "to": "escalation"},
        {"on": "ITERATION_CAP_EXCEEDED", "action": "escalate", "to": "escalation_2"},
    ]
    assert manifest["nodes"][-1]["prompt"].startswith("Somebody must look {{ last_failed_node }} failed")
    assert ("error_handlers[1]", "HOLD_POINT_MADE") in codes(made.changes)
    _, aborting = converted(starters.IVTR)
    assert aborting["error_handlers"] == [
        {"on": ["REQUIRES_NOT_MET", "ENSURES_NOT_MET"], "action": "fail", "message": "A contract was broken"}
    ]


def test_a_command_keeps_what_it_says_and_its_exit_code_is_a_success() -> None:
    _, manifest = book(
        command(args=["x"], cwd="sub", env={"A": "b"}, timeout_ms=5, ensures={"exitCode": 3, "outputFiles": ["o"]})
    )

    assert manifest["nodes"] == [
        {
            "id": "c", "type": "deterministic", "command": "true", "args": ["x"], "cwd": "sub", "env": {"A": "b"},
            "timeout_ms": 5, "success_exit_codes": [3], "ensures": {"exit_code": 3, "output_files": ["o"]},
        }
    ]  # fmt: skip


LOST: dict[str, tuple[Callable[[], tuple[Conversion, dict[str, Any]]], tuple[str, str]]] = {
    "a field of later versions": (
        lambda: book(agent(allowed_tools=["x"])),
        ("nodes[0].allowed_tools", "FIELD_UNKNOWN"),
    ),
    "a policy": (
        lambda: book({"id": "a", "type": "approval", "prompt": "?", "policy": "permissive"}),
        ("nodes[0].policy", "POLICY"),
    ),
    "a schema by its name": (
        lambda: book(agent(ensures={"schema": "report"})),
        ("nodes[0].ensures.schema", "SCHEMA_NAMED"),
    ),
    "a file elsewhere": (
        lambda: book(agent(ensures={"outputFiles": ["../x"]})),
        ("nodes[0].ensures.outputFiles[0]", "PATH_OUTSIDE"),
    ),
    "an exit code of an agent": (
        lambda: book(agent(ensures={"exitCode": 0})),
        ("nodes[0].ensures.exitCode", "CONTRACT_IMPOSSIBLE"),
    ),
    "a jump to nowhere": (
        lambda: book(agent(on_failure={"inject_into": "z"})),
        ("nodes[0].on_failure.inject_into", "INJECT_NOT_BEFORE"),
    ),
    "an output that no command has": (
        lambda: book(command(), agent(requires={"from": "c", "fields": ["report"]})),
        ("nodes[1].requires.fields[0]", "OUTPUT_UNKNOWN"),
    ),
    "what nobody comes to": (
        lambda: book(agent(), agent("b"), agent("z"), edges=[{"from": "a", "to": "b"}]),
        ("nodes[2]", "NODE_NEVER_REACHED"),
    ),
    "a template": (lambda: book(agent(inputs={"x": "{{ a b }}"})), ("nodes[0].inputs.x", "TEMPLATE_UNREADABLE")),
    "an unknown failure": (
        lambda: book(agent(), error_handlers=[{"on": "rain", "action": "abort"}]),
        ("error_handlers[0].on", "CAUSE_UNKNOWN"),
    ),
    "a promise of a person": (
        lambda: book({"id": "a", "type": "approval", "prompt": "?", "ensures": {"exitCode": 0}}),
        ("nodes[0].ensures", "CONTRACT_NOT_CHECKED"),
    ),
}


@pytest.mark.parametrize("what", LOST)
def test_what_cannot_be_carried_over_is_named_and_the_rest_validates(what: str) -> None:
    make, lost = LOST[what]

    made, _ = make()

    assert codes(made.losses) == [lost]
    assert made.review is not None
    assert made.review.errors == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("version: '2.0'\nname: x\nnodes: []", "FORMAT_UNKNOWN"),
        ("version: '1.0'\nname: x\nnodes: []", "FIELD_MISSING"),
        ("version: '1.0'\nname: x\nnodes: [{id: a, type: magic}]", "NODE_TYPE_UNKNOWN"),
        ("version: '1.0'\nname: x\nnodes: [{id: a, type: agentic, skill: s, depends: [b]}]", "NODE_UNKNOWN"),
        ("a: [", "DOCUMENT_UNREADABLE"),
        ("[]", "DOCUMENT_UNREADABLE"),
    ],
)
def test_a_document_of_which_nothing_can_be_made_is_an_answer_with_a_place(text: str, code: str) -> None:
    made, _ = converted(text)

    assert (made.text, [one.code for one in made.losses]) == (b"", [code])


def test_conditions_of_edges_become_guards() -> None:
    edges = [
        {"from": "c", "to": "a", "when": {"field": "exit_code", "equals": 0}},
        {"from": "c", "to": "b"},
    ]

    made, manifest = book(command(), agent("a"), agent("b"), edges=edges)

    assert manifest["edges"][0]["when"] == "exit_code == 0"
    assert made.losses == ()
