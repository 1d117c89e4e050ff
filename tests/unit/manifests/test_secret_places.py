"""References to secrets in a manifest: where one may stand, and what is made of it."""

from typing import Any

import pytest

TOKEN = "secret://env/TOKEN"
SENSITIVE = {"inputs": [{"name": "token"}, {"name": "note"}], "sensitive_inputs": ["token"]}


def command(**fields: Any) -> dict[str, Any]:
    return {"id": "a", "type": "deterministic", "command": "true", "effect": "none", **fields}


def function(**fields: Any) -> dict[str, Any]:
    return {"id": "a", "type": "function", "function": "do", "effect": "none", **fields}


def secrets(node: Any) -> list[list[str]]:
    return [list(one.keys) for one in node.secrets]


@pytest.mark.parametrize(
    ("node", "path"),
    [
        (command(command=TOKEN), "command"),
        (command(args=["--token", TOKEN]), "args[1]"),
        (command(cwd=TOKEN), "cwd"),
        (command(shell=True, command=f"curl -H {TOKEN}"), "command"),
        ({"id": "a", "type": "agentic", "agent": "a", "prompt": f"use {TOKEN}"}, "prompt"),
        ({"id": "a", "type": "agentic", "agent": "a", "prompt": "?", "inputs": {"t": TOKEN}}, "inputs.t"),
        ({"id": "a", "type": "approval", "prompt": "?", "subject": {"t": TOKEN}}, "subject.t"),
        ({"id": "a", "type": "map", "items": f"['{TOKEN}']", "node": {"type": "function", "function": "f"}}, "items"),
        (function(ensures={"output_files": [TOKEN]}), "ensures.output_files[0].path"),
    ],
)
def test_a_reference_where_nothing_resolves_it_is_refused(found: Any, node: dict[str, Any], path: str) -> None:
    assert found(nodes=[node]) == [(f"nodes[0].{path}", "SECRET_MISPLACED")]


def test_a_guard_has_no_reference(found: Any) -> None:
    nodes = [command(), function(id="b"), function(id="c")]
    edges = [{"from": "a", "to": "b", "when": f"nodes.a.stdout == '{TOKEN}'"}, {"from": "a", "to": "c"}]

    assert found(nodes=nodes, edges=edges) == [("edges[0].when", "SECRET_MISPLACED")]


@pytest.mark.parametrize(
    ("node", "path"),
    [
        (command(env={"A": "secret://vault/x"}), "env.A"),
        (command(env={"A": f"Bearer {TOKEN}"}), "env.A"),
        (command(env={"A": "secret://env/{{ inputs.name }}"}), "env.A"),
        (command(stdin="secret://file/../x"), "stdin"),
        (function(inputs={"a": [{"b": "secret://env/A-B"}]}), "inputs.a[0].b"),
        (
            {"id": "a", "type": "map", "items": "[1]", "node": {"type": "function", "function": "f", "inputs": {"a": "secret://x"}}},
            "node.inputs.a",
        ),
    ],
)  # fmt: skip
def test_a_malformed_reference_is_refused_where_it_stands(found: Any, node: dict[str, Any], path: str) -> None:
    assert found(nodes=[node]) == [(f"nodes[0].{path}", "SECRET_INVALID")]


@pytest.mark.parametrize("text", ["a..b", "", "*a"])
def test_a_path_that_is_none_is_refused_where_it_stands(found: Any, text: str) -> None:
    code = "PATH_INVALID" if text else "FIELD_VALUE"
    assert found(sensitive_inputs=["token", text]) == [("sensitive_inputs[1]", code)]


def test_the_plan_says_where_references_are(node_of: Any) -> None:
    assert secrets(node_of(**command(env={"A": "plain", "B": TOKEN}, stdin=TOKEN))) == [["stdin"], ["env", "B"]]
    assert secrets(node_of(**function(inputs={"a": [1, {"b": TOKEN}]}))) == [["inputs", "a", "1", "b"]]


def test_an_input_is_resolved_only_where_it_is_declared_secret_and_stands_alone(plan_of: Any) -> None:
    env = {"A": "{{ inputs.token }}", "B": "{{ inputs.note }}", "C": "{{ token }}", "D": "x {{ inputs.token }}"}
    plan = plan_of(**SENSITIVE, nodes=[command(env=env)])

    assert [list(one.keys) for one in plan.sensitive_inputs] == [["token"]]
    assert secrets(plan.nodes[0]) == [["env", "A"]]


def test_the_node_inside_a_map_and_the_one_inside_a_part_say_it_themselves(plan_of: Any) -> None:
    inside = {"type": "function", "function": "f", "inputs": {"a": TOKEN}}
    mapped = plan_of(nodes=[{"id": "m", "type": "map", "items": "[1]", "node": inside}]).nodes[0]
    part = plan_of(nodes=[{"id": "p", **inside, "queue": "gpu"}]).nodes[0]

    assert secrets(mapped) == []
    assert secrets(mapped.map.node) == [["inputs", "a"]]
    assert secrets(part) == []
    assert secrets(part.part.node) == [["inputs", "a"]]


def test_a_reader_is_told_where_a_secret_input_stays_a_reference(reviewed: Any) -> None:
    env = {"A": "{{ inputs.token }}", "B": "x {{ inputs.token }}"}
    review = reviewed(**SENSITIVE, nodes=[command(env=env, args=["{{ token }}", "{{ inputs.note }}", "{{ inputs }}"])])

    assert sorted((one.path, one.code) for one in review.warnings) == [
        ("nodes[0].args[0]", "SECRET_UNRESOLVED"),
        ("nodes[0].args[2]", "SECRET_UNRESOLVED"),
        ("nodes[0].env.B", "SECRET_UNRESOLVED"),
    ]


def test_a_secret_input_that_is_not_declared_is_doubted(reviewed: Any) -> None:
    review = reviewed(inputs=[{"name": "token"}], sensitive_inputs=["tokn"], nodes=[function()])

    (doubt,) = review.warnings
    assert (doubt.path, doubt.code) == ("sensitive_inputs[0]", "INPUT_UNKNOWN")
    assert "token" in doubt.reason
