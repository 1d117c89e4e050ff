"""Every fault of a manifest is a diagnostic with a stable code and the path to what is wrong."""

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from perdure_control_plane.manifests.review import MAX_DIAGNOSTICS

Fields = dict[str, Any]
Faults = list[tuple[str, str]]

MODULES = ["document", "values", "yaml_text", "checks", "expressions", "names", "schemas", "graph", "review", "waiting"]
MODULES.append("wording")


def work(node_id: str = "a", **fields: Any) -> Fields:
    return {"id": node_id, "type": "function", "function": "do", **fields}


def command(**fields: Any) -> Fields:
    return {"id": "a", "type": "deterministic", "command": "true", "effect": "none", **fields}


def gate(**fields: Any) -> Fields:
    return {"id": "a", "type": "approval", "prompt": "Go on?", **fields}


def wait(**fields: Any) -> Fields:
    return {"id": "a", "type": "wait", **fields}


def agent(**fields: Any) -> Fields:
    return {"id": "a", "type": "agentic", "agent": "writer", "prompt": "Write", **fields}


def retried(times: object) -> Fields:
    return {"nodes": [work(on_failure={"max_iterations": times})]}


CLOSED = {"type": "object", "properties": {"who": {"type": "string"}}, "additionalProperties": False}
"""Inputs: who, and nothing else."""

FAULTS: dict[str, tuple[Fields, Faults]] = {
    "a required field is left out": ({"title": None}, [("title", "FIELD_MISSING")]),
    "a required field of a node is left out": (
        {"nodes": [{"id": "a", "type": "deterministic"}]}, [("nodes[0].command", "FIELD_MISSING")]),
    "a required field is named as its node's type is": (
        {"nodes": [{"id": "a", "type": "function"}]}, [("nodes[0].function", "FIELD_MISSING")]),
    "a node has no type": ({"nodes": [{"id": "a"}]}, [("nodes[0].type", "FIELD_MISSING")]),
    "an agent has no name": (
        {"nodes": [{"id": "a", "type": "agentic", "prompt": "x"}]}, [("nodes[0].agent", "FIELD_MISSING")]),
    "an edge has its ends under other names": (
        {"nodes": [work()], "edges": [{"from": "a", "target": "a"}]},
        [("edges[0].to", "FIELD_MISSING"), ("edges[0].target", "FIELD_UNKNOWN")]),
    "a field is unknown": ({"colour": "red"}, [("colour", "FIELD_UNKNOWN")]),
    "an unknown field is named as a node type is": ({"wait": 1}, [("wait", "FIELD_UNKNOWN")]),
    "a field of a node is unknown": ({"nodes": [work(retries=3)]}, [("nodes[0].retries", "FIELD_UNKNOWN")]),
    "a number stands where text belongs": ({"version": 1}, [("version", "FIELD_TYPE")]),
    "text stands where a list belongs": ({"phases": "first"}, [("phases", "FIELD_TYPE")]),
    "a number stands where an object belongs": ({"tools": 5}, [("tools", "FIELD_TYPE")]),
    "text stands where a node belongs": ({"nodes": ["a"]}, [("nodes[0]", "FIELD_TYPE")]),
    "a word stands where a truth value belongs": (
        {"nodes": [command(shell="yes")]}, [("nodes[0].shell", "FIELD_TYPE")]),
    "inputs are neither a schema nor a list": ({"inputs": 5}, [("inputs", "FIELD_TYPE")]),
    "an input of the short form has no name": ({"inputs": [{"required": True}]}, [("inputs[0].name", "FIELD_MISSING")]),
    "a variable is named as a node type is": (
        {"nodes": [command(env={"map": 1})]}, [("nodes[0].env.map", "FIELD_TYPE")]),
    "a variable's name is none": ({"nodes": [command(env={"a-b": "1"})]}, [("nodes[0].env.a-b", "ID_INVALID")]),
    "a number is too large": (
        {"nodes": [work(on_failure={"max_iterations": 11})]}, [("nodes[0].on_failure.max_iterations", "FIELD_VALUE")]),
    "a word is none of those that are known": (
        {"nodes": [work(effect="sometimes")]}, [("nodes[0].effect", "FIELD_VALUE")]),
    "an exit code is no exit code": (
        {"nodes": [command(success_exit_codes=[0, 256])]}, [("nodes[0].success_exit_codes[1]", "FIELD_VALUE")]),
    "there are more nodes than a plan may have": (
        {"nodes": [work(f"n{number}") for number in range(1001)]}, [("nodes", "FIELD_VALUE")]),
    "there are more phases than a plan may have": (
        {"phases": [{"phase_id": f"p{number}", "objective": "x"} for number in range(1001)]},
        [("phases", "FIELD_VALUE")]),
    "an id has a space": ({"nodes": [work("a b")]}, [("nodes[0].id", "ID_INVALID")]),
    "an id ends with a new line": ({"playbook_id": "release\n"}, [("playbook_id", "ID_INVALID")]),
    "two nodes have one id": ({"nodes": [work(), work()]}, [("nodes[1].id", "ID_DUPLICATE")]),
    "two phases have one id": (
        {"phases": [{"phase_id": "a", "objective": "x"}] * 2}, [("phases[1].phase_id", "ID_DUPLICATE")]),
    "two roles have one id": ({"roles": [{"role_id": "a"}] * 2}, [("roles[1].role_id", "ID_DUPLICATE")]),
    "two inputs have one name": ({"inputs": [{"name": "a"}] * 2}, [("inputs[1].name", "ID_DUPLICATE")]),
    "a node is of an unknown type": (
        {"nodes": [{"id": "a", "type": "dance"}]}, [("nodes[0].type", "NODE_TYPE_UNKNOWN")]),
    "a node depends on an unknown one": (
        {"nodes": [work(depends=["z"])]}, [("nodes[0].depends[0]", "NODE_UNKNOWN")]),
    "an edge names unknown nodes": (
        {"nodes": [work()], "edges": [{"from": "y", "to": "z"}]},
        [("edges[0].from", "NODE_UNKNOWN"), ("edges[0].to", "NODE_UNKNOWN")]),
    "a failure jumps to an unknown node": (
        {"nodes": [work(on_failure={"inject_into": "z"})]}, [("nodes[0].on_failure.inject_into", "INJECT_UNKNOWN")]),
    "a failure jumps forward": (
        {"nodes": [work(on_failure={"inject_into": "b"}), work("b")]},
        [("nodes[0].on_failure.inject_into", "INJECT_NOT_BEFORE")]),
    "nodes come before themselves": (
        {"nodes": [work(depends=["b"]), work("b", depends=["a"])]}, [("nodes[0]", "CYCLE")]),
    "a node depends on itself": ({"nodes": [work(depends=["a"])]}, [("nodes[0]", "CYCLE")]),
    "an expression is not closed": ({"nodes": [gate(prompt="{{ x")]}, [("nodes[0].prompt", "EXPRESSION_INVALID")]),
    "an expression is empty": ({"nodes": [gate(prompt="a {{ }}")]}, [("nodes[0].prompt", "EXPRESSION_INVALID")]),
    "an expression is no CEL": (
        {"nodes": [command(args=["-v", "{{ 1 + }}"])]}, [("nodes[0].args[1]", "EXPRESSION_INVALID")]),
    "an expression deep in inputs is no CEL": (
        {"nodes": [work(inputs={"list": [{"x": "{{ ( }}"}]})]}, [("nodes[0].inputs.list[0].x", "EXPRESSION_INVALID")]),
    "an expression reads what comes later": (
        {"nodes": [gate(subject={"it": "{{ nodes.b.x }}"}), work("b")]},
        [("nodes[0].subject.it", "REFERENCE_NOT_BEFORE")]),
    "an expression reads its own node": (
        {"nodes": [command(cwd='{{ nodes["a"].x }}')]}, [("nodes[0].cwd", "REFERENCE_NOT_BEFORE")]),
    "an expression is too long": (
        {"nodes": [gate(prompt="{{ 1" + "+1" * 1100 + " }}")]}, [("nodes[0].prompt", "EXPRESSION_INVALID")]),
    "inputs are no JSON Schema": ({"inputs": {"type": "colour"}}, [("inputs.type", "SCHEMA_INVALID")]),
    "an output schema is no JSON Schema": (
        {"nodes": [agent(output_schema={"pattern": "("})]}, [("nodes[0].output_schema.pattern", "SCHEMA_INVALID")]),
    "a schema refers to what it does not hold": (
        {"inputs": {"$ref": "#/$defs/missing"}}, [("inputs", "SCHEMA_INVALID")]),
    "a pattern looks ahead": (
        {"inputs": {"properties": {"a": {"pattern": "^(?=a)"}}}}, [("inputs.properties.a.pattern", "SCHEMA_INVALID")]),
    "a schema refers to another machine": (
        {"inputs": {"properties": {"a": {"$ref": "http://127.0.0.1:9/s"}}}}, [("inputs", "SCHEMA_INVALID")]),
    "a schema refers to a file": ({"inputs": {"$ref": "file:///etc/hostname"}}, [("inputs", "SCHEMA_INVALID")]),
    "a tool is allowed and denied": (
        {"tools": {"allow": ["read_file"], "deny": ["read_file"]}}, [("tools.allow[0]", "TOOL_CONFLICT")]),
    "a node wants a tool that the playbook denies": (
        {"nodes": [agent(tools=["read_file"])], "tools": {"deny": ["read_file"]}},
        [("nodes[0].tools[0]", "TOOL_CONFLICT")]),
    "a node wants a tool that the playbook does not allow": (
        {"nodes": [agent(tools=["list_files", "read_file"])], "tools": {"allow": ["list_files"]}},
        [("nodes[0].tools[1]", "TOOL_CONFLICT")]),
    "a tool is unknown": ({"nodes": [agent(tools=["launch"])]}, [("nodes[0].tools[0]", "TOOL_UNKNOWN")]),
    "there are phases and nodes": (
        {"phases": [{"phase_id": "p", "objective": "x"}], "nodes": [work()]}, [("phases", "PHASES_AND_NODES")]),
    "a command has two time limits": (
        {"nodes": [command(timeout_ms=5, timeout_seconds=6)]}, [("nodes[0].timeout_ms", "TIMEOUT_UNCLEAR")]),
    "a wait says nothing of its end": ({"nodes": [wait()]}, [("nodes[0].type", "WAIT_UNCLEAR")]),
    "a wait has two ends": ({"nodes": [wait(signal="x", duration_seconds=5)]}, [("nodes[0].signal", "WAIT_UNCLEAR")]),
    "a wait for a time has a time limit": (
        {"nodes": [wait(duration_seconds=5, timeout_seconds=6)]}, [("nodes[0].timeout_seconds", "WAIT_UNCLEAR")]),
    "a wait is until no moment": ({"nodes": [wait(until="tomorrow")]}, [("nodes[0].until", "FIELD_VALUE")]),
    "a wait is until a moment of no zone": (
        {"nodes": [wait(until="2030-01-31T08:00:00")]}, [("nodes[0].until", "FIELD_VALUE")]),
    "a wait is until what no expression says": (
        {"nodes": [wait(until="{{ 1 + }}")]}, [("nodes[0].until", "EXPRESSION_INVALID")]),
    "what comes with a signal has no schema": (
        {"nodes": [wait(signal="x", payload_schema={"type": 5})]}, [("nodes[0].payload_schema.type", "SCHEMA_INVALID")]),
    "a node starts a playbook that is not stored": (
        {"nodes": [{"id": "a", "type": "playbook", "playbook_id": "other", "version": "1"}]},
        [("nodes[0].playbook_id", "PLAYBOOK_UNKNOWN")]),
    "a playbook starts itself": (
        {"nodes": [{"id": "a", "type": "playbook", "playbook_id": "release", "version": "0"}]},
        [("nodes[0].playbook_id", "PLAYBOOK_RECURSIVE")]),
    "a failure escalates": (
        {"nodes": [work(on_failure={"escalate": True})]}, [("nodes[0].on_failure.escalate", "NOT_SUPPORTED")]),
    "an approval has a policy of its own": (
        {"nodes": [gate(policy="permissive")]}, [("nodes[0].policy", "NOT_SUPPORTED")]),
    "a tool policy is not to be kept": ({"tools": {"enforce": False}}, [("tools.enforce", "NOT_SUPPORTED")]),
    "a guard is no CEL": (
        {"nodes": [work(), work("b")], "edges": [{"from": "a", "to": "b", "when": "1 +"}]},
        [("edges[0].when", "EXPRESSION_INVALID")]),
    "a guard reads what comes later": (
        {"nodes": [work(), work("b")], "edges": [{"from": "a", "to": "b", "when": "nodes.b.x"}]},
        [("edges[0].when", "REFERENCE_NOT_BEFORE")]),
    "two edges are for the case that no guard holds": (
        {"nodes": [work(), work("b"), work("c"), work("d")],
         "edges": [{"from": "a", "to": "b", "when": "true"}, {"from": "a", "to": "c"}, {"from": "a", "to": "d"}]},
        [("edges[2]", "ELSE_TWICE")]),
    "two edges of a choice lead to the same node": (
        {"nodes": [work(), work("b")],
         "edges": [{"from": "a", "to": "b", "when": "x"}, {"from": "a", "to": "b", "when": "y"}]},
        [("edges[1]", "EDGE_DUPLICATE")]),
    "a node depends on one that chooses": (
        {"nodes": [work(), work("b"), work("c", depends=["a"])], "edges": [{"from": "a", "to": "b", "when": "true"}]},
        [("nodes[2].depends[0]", "DEPENDS_ON_CHOICE")]),
    "a failure goes back to what may not have been chosen": (
        {"nodes": [work(), work("b"), work("c", on_failure={"inject_into": "b"})],
         "edges": [
            {"from": "a", "to": "b", "when": "x"}, {"from": "a", "to": "c"}, {"from": "b", "to": "c"}]},
        [("nodes[2].on_failure.inject_into", "INJECT_INTO_BRANCH")]),
    "a node is connected to nothing": (
        {"nodes": [work(), work("b", depends=["a"]), work("c")]}, [("nodes[2]", "NODE_UNREACHABLE")]),
    "a line of nodes is connected to nothing else": (
        {"nodes": [work(), work("b", depends=["a"]), work("c"), work("d", depends=["c"])]},
        [("nodes[2]", "NODE_UNREACHABLE")]),
    "a failure goes from the join into one branch": (
        {"nodes": [
            work(), work("b", depends=["a"]), work("c", depends=["a"]),
            work("d", depends=["b", "c"], on_failure={"inject_into": "b"})]},
        [("nodes[3].on_failure.inject_into", "INJECT_INTO_BRANCH")]),
    "a failure goes into another branch": (
        {"nodes": [
            work(), work("b", depends=["a"]), work("c", depends=["a"], on_failure={"inject_into": "b"})]},
        [("nodes[2].on_failure.inject_into", "INJECT_NOT_BEFORE")]),
    "an expression reads what another branch does": (
        {"nodes": [work(), work("b", depends=["a"]), gate(id="c", depends=["a"], prompt="{{ nodes.b.x }}")]},
        [("nodes[2].prompt", "REFERENCE_NOT_BEFORE")]),
}  # fmt: skip

DOUBTS: dict[str, tuple[Fields, Faults]] = {
    "there is nothing to do": ({}, [("phases", "NO_PHASES")]),
    "nothing says when it is done": (
        {"nodes": [gate()], "acceptance_criteria": None}, [("acceptance_criteria", "NO_ACCEPTANCE_CRITERIA")]),
    "a node reads what may not have been chosen": (
        {"nodes": [work(), work("b"), work("c"), gate(id="d", prompt="{{ nodes.b.x }} {{ nodes.a.x }}")],
         "edges": [
            {"from": "a", "to": "b", "when": "x"}, {"from": "a", "to": "c"}, {"from": "b", "to": "d"},
            {"from": "c", "to": "d"}],
         "inputs": {}},
        [("nodes[3].prompt", "NODE_MAY_BE_ABSENT")]),
    "a command does not state its effect": ({"nodes": [command(effect=None)]}, [("nodes[0].effect", "EFFECT_UNSTATED")]),
    "an effect that must not be repeated is": (
        {"nodes": [command(effect="at_most_once", on_failure={"max_iterations": 5})]},
        [("nodes[0].on_failure.max_iterations", "EFFECT_REPEATED")]),
    "evidence is required of a node that is not there": (
        {"nodes": [gate()], "required_evidence": [{"kind": "approval", "id": "b"}, {"kind": "approval", "id": "a"}]},
        [("required_evidence[0].id", "EVIDENCE_UNKNOWN")]),
    "evidence is required of a child that is none": (
        {"nodes": [command()], "required_evidence": [{"kind": "task", "id": "a/b"}]},
        [("required_evidence[0].id", "EVIDENCE_UNKNOWN")]),
    "evidence of work is required of a hold point": (
        {"nodes": [gate()], "required_evidence": [{"kind": "task", "id": "a"}]},
        [("required_evidence[0].id", "EVIDENCE_UNKNOWN")]),
    "an expression reads an output that is not there": (
        {"nodes": [command(), gate(id="b", prompt="{{ nodes.a.stdot }} {{ nodes.a.stdout.size() }}")]},
        [("nodes[1].prompt", "OUTPUT_UNKNOWN")]),
    "an expression reads what no approval has": (
        {"nodes": [gate(), command(id="b", args=["{{ nodes.a.subjct }}"])]}, [("nodes[1].args[0]", "OUTPUT_UNKNOWN")]),
    "an expression reads an input that is not in the list": (
        {"inputs": [{"name": "who"}], "nodes": [gate(prompt="{{ inputs.whooo }}")]},
        [("nodes[0].prompt", "INPUT_UNKNOWN")]),
    "an expression reads an input that a closed schema does not have": (
        {"inputs": CLOSED, "nodes": [command(args=["{{ whoo }} {{ inputs['whooo'] }}"])]},
        [("nodes[0].args[0]", "NAME_UNKNOWN"), ("nodes[0].args[0]", "INPUT_UNKNOWN")]),
    "an expression reads a name though nothing is declared": (
        {"nodes": [gate(prompt="{{ whom }}")]}, [("nodes[0].prompt", "NAME_UNKNOWN")]),
    "a command holds a character that none may": (
        {"nodes": [command(args=["a\0b"])]}, [("nodes[0].args[0]", "NUL_CHARACTER")]),
}  # fmt: skip

OF_THE_DOCUMENT = frozenset(
    {
        "DOCUMENT_UNREADABLE",
        "KEY_DUPLICATE",
        "TOO_LARGE",
        "TOO_DEEP",
        "NOT_JSON",
        "KEY_NOT_TEXT",
        "NOT_CANONICAL",
        "MORE",
    }
)
"""Codes of what cannot be read at all; their tests are in `test_documents.py`."""


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_found_where_it_is(found: Callable[..., Faults], what: str) -> None:
    fields, wanted = FAULTS[what]

    assert found(**fields) == wanted


@pytest.mark.parametrize("what", DOUBTS)
def test_a_doubt_is_said_and_refuses_nothing(reviewed: Callable[..., Any], what: str) -> None:
    fields, wanted = DOUBTS[what]

    result = reviewed(**fields)

    assert [(doubt.path, doubt.code) for doubt in result.warnings] == wanted
    assert result.errors == ()
    assert result.plan is not None


@pytest.mark.parametrize("what", FAULTS)
def test_every_diagnostic_tells_a_person_what_is_wrong(reviewed: Callable[..., Any], what: str) -> None:
    result = reviewed(**FAULTS[what][0])

    assert all(fault.reason.strip() for fault in result.errors)
    assert result.plan is None
    assert result.digest


def test_all_faults_are_named_at_once(found: Callable[..., Faults]) -> None:
    faults = found(nodes=[work(depends=["z"]), gate(id="b", prompt="{{ ( }}")], tools={"allow": ["x"], "deny": ["x"]})

    assert {code for _, code in faults} >= {"NODE_UNKNOWN", "EXPRESSION_INVALID", "TOOL_CONFLICT"}


def test_very_many_faults_are_named_in_part(reviewed: Callable[..., Any]) -> None:
    result = reviewed(**{f"wrong_{number}": 1 for number in range(MAX_DIAGNOSTICS + 7)})

    assert len(result.errors) == MAX_DIAGNOSTICS + 1
    assert result.errors[-1].code == "MORE"
    assert "7 more" in result.errors[-1].reason


def test_a_fault_in_a_long_text_is_told_in_a_short_one(reviewed: Callable[..., Any]) -> None:
    result = reviewed(nodes=[work(depends=["z" * 100_000], on_failure={"inject_into": "y" * 100_000})])

    assert [fault.code for fault in result.errors] == ["NODE_UNKNOWN", "INJECT_UNKNOWN"]
    assert all(len(fault.reason) < 1100 for fault in result.errors)


def test_a_schema_may_refer_to_its_own_parts(reviewed: Callable[..., Any]) -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#tree"}}}
    inputs = {"$ref": "#/$defs/tree", "$defs": {"tree": {"$anchor": "tree", **tree}}}
    named = {"$id": "https://example.com/s", "properties": {"$ref": {"$ref": "https://example.com/s"}}}

    assert reviewed(inputs=inputs, nodes=[agent(output_schema=named)]).errors == ()


def test_what_names_the_playbook_is_told_though_the_rest_is_faulty(reviewed: Callable[..., Any]) -> None:
    result = reviewed(objective=5)

    assert (result.playbook_id, result.version) == ("release", "1.0.0")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"nodes": [work(efect="none")]}, "unknown field; did you mean effect?"),
        (
            {"nodes": [work(), work("b")], "edges": [{"from": "a", "to": "b", "wen": "x"}]},
            "unknown field; did you mean when?",
        ),
        ({"titel": "x"}, "unknown field; did you mean title?"),
        ({"zzz": "x"}, "unknown field"),
        ({"version": 1.0}, 'it must be text; write it in quotes: "1.0"'),
        ({"title": ["x"]}, "it must be text"),
        (retried("2"), "it must be a whole number; write it without quotes: 2"),
        (retried("true"), "it must be a whole number"),
        (retried("1.5"), "it must be a whole number"),
        (retried("two"), "it must be a whole number"),
        (retried(1.5), "it must be a whole number"),
        ({"timeout_seconds": "1.5"}, "it must be a number; write it without quotes: 1.5"),
        ({"timeout_seconds": "NaN"}, "it must be a number"),
        ({"nodes": [command(shell="true")]}, "it must be true or false; write it without quotes: true"),
        ({"nodes": [work(f"n{number}") for number in range(1001)]}, "it must have at most 1000 items, not 1001"),
        ({"playbook_id": "a b"}, "'a b' is not 1 to 128 of letters, digits, '.', '_' and '-'"),
        ({"title": None}, "it is required, and missing"),
        (retried(11), "it must be less than or equal to 10"),
        (
            {"nodes": [{"id": "a", "type": "functoin"}]},
            (
                "'functoin' is no type of node; "
                "write one of agentic, deterministic, function, approval, wait, playbook, map; did you mean function?"
            ),
        ),
    ],
)
def test_a_fault_is_told_in_words_of_the_document(reviewed: Callable[..., Any], fields: Fields, said: str) -> None:
    assert [fault.reason for fault in reviewed(**fields).errors] == [said]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("1 +", "it ends where more is expected"),
        ("a.", "it ends where more is expected"),
        ("a ? b", "it ends where more is expected"),
        ("a b", "'b' is not expected at character 3"),
        ("a\n+)", "')' is not expected at line 2, character 2"),
        ("1 + @", "what begins at character 5 cannot be read"),
        ("has(x)", "invalid argument to has() macro, at character 5"),
    ],
)
def test_what_is_no_cel_is_told_with_its_place(reviewed: Callable[..., Any], expression: str, said: str) -> None:
    faults = reviewed(nodes=[gate(prompt=f"{{{{ {expression} }}}}")]).errors

    assert [fault.reason for fault in faults] == [f"{expression!r} is not CEL: {said}"]


def test_what_follows_from_a_fault_in_the_order_is_not_told_beside_it(found: Callable[..., Faults]) -> None:
    nodes = [work(), *(gate(id=name, prompt="{{ nodes.a.x }}") for name in ("b", "c"))]

    faults = found(nodes=nodes, edges=[{"from": "b", "to": "c"}])

    assert faults == [("nodes[1]", "NODE_UNREACHABLE")]


def codes_in(module: str) -> set[str]:
    """Every word in capitals in a module's code: those are the codes it gives."""
    source = inspect.getsource(importlib.import_module(f"perdure_control_plane.manifests.{module}"))
    texts = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"[A-Z]+(_[A-Z]+)+|CYCLE|MORE", text)}


def test_every_code_that_the_review_gives_is_tested() -> None:
    tested = {code for _, wanted in [*FAULTS.values(), *DOUBTS.values()] for _, code in wanted}
    tested -= codes_in("children")  # what is said of a stored version has a page of its own

    assert tested | OF_THE_DOCUMENT == set().union(*(codes_in(module) for module in MODULES))
