"""Whatever somebody sends as a manifest, the review ends soon, and with an answer."""

import json
import textwrap
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure_control_plane.manifests.document import MAX_BYTES
from perdure_control_plane.manifests.review import Review, review

HEAD = "playbook_id: p\nversion: '1'\ntitle: t\nobjective: o\n"
HEAD_VALUES = {"playbook_id": "p", "version": "1", "title": "t", "objective": "o"}

Apart = Callable[[str], Awaitable[list[str]]]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
words = st.sampled_from(
    ["agentic", "deterministic", "function", "approval", "wait", "map", "a", "b", "{{ a }}", "{{ nodes.a }}", "{{", "1.0",
     "none", "object", "#/x", "json", ""]
)  # fmt: skip
values = st.recursive(
    scalars | words, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)

FIELDS = ("playbook_id", "version", "title", "objective", "inputs", "roles", "phases", "edges", "tools", "runtime_defaults",
          "error_handlers", "timeout_seconds", "required_evidence", "metadata")  # fmt: skip
NODE_FIELDS = ("id", "type", "depends", "on_failure", "retry", "agent", "prompt", "tools", "output_schema", "command",
               "args", "env", "effect", "function", "inputs", "subject", "timeout_ms", "timeout_seconds",
               "items")  # fmt: skip

nodes = st.dictionaries(st.sampled_from(NODE_FIELDS), words | values, max_size=8)
whole_nodes = st.builds(
    lambda node, node_id: {"id": node_id, "type": "function", "function": "f", **node},
    nodes, st.sampled_from("abc"),
)  # fmt: skip
manifests = st.builds(
    lambda fields, listed: {**HEAD_VALUES, **fields, "nodes": listed},
    st.dictionaries(st.sampled_from(FIELDS), words | values, max_size=3),
    st.lists(nodes | whole_nodes, max_size=4) | values,
)

unhurried = settings(deadline=None, database=None, max_examples=150)


def check_answer(result: Review) -> None:
    """An answer is either a plan or faults, each with what a person needs."""
    assert (result.plan is None) == bool(result.errors)
    for diagnostic in (*result.errors, *result.warnings):
        assert isinstance(diagnostic.path, str)
        assert diagnostic.code.isupper()
        assert diagnostic.reason


@unhurried
@given(st.binary(max_size=200))
def test_any_bytes_are_answered(document: bytes) -> None:
    check_answer(review(document))


@unhurried
@given(st.text(max_size=200))
def test_any_text_is_answered(document: str) -> None:
    check_answer(review(f"{HEAD}metadata: {document}".encode("utf-8", "surrogatepass")))


@unhurried
@given(values)
def test_any_json_value_is_answered(value: Any) -> None:
    check_answer(review(json.dumps(value).encode()))


@unhurried
@given(manifests)
def test_anything_in_the_fields_of_a_manifest_is_answered(manifest: Any) -> None:
    check_answer(review(json.dumps(manifest).encode()))


@unhurried
@given(st.text(alphabet="{}'\"\\ ax.1+([])!?:", max_size=60))
def test_any_template_is_answered(template: str) -> None:
    gate = {"id": "a", "type": "approval", "prompt": template or " ", "subject": {"x": [template]}}

    check_answer(review(json.dumps({**HEAD_VALUES, "nodes": [gate]}).encode()))


def laughs(levels: int) -> str:
    """A billion laughs: every level repeats the one before ten times."""
    lines = ["l0: &l0 [ha]"]
    lines += [f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 10)}]" for level in range(1, levels)]
    return f"{HEAD}metadata:\n{textwrap.indent(chr(10).join(lines), '  ')}\n"


BOMBS = {
    "a list that holds itself": f"{HEAD}metadata: {{a: &a [*a]}}\n",
    "an object that holds itself": f"{HEAD}metadata: &a {{a: *a}}\n",
    "a document that holds itself": "&a {playbook_id: *a}\n",
    "lists that hold each other": f"{HEAD}metadata: {{a: &a [&b [*a]], c: *b}}\n",
    "ten laughs to the tenth": laughs(10),
    "a hundred thousand open lists": "[" * 100_000,
    "a hundred thousand open objects": '{"a":' * 100_000,
    "a hundred thousand lists": f"{HEAD}metadata: {{a: {'[' * 100_000}{']' * 100_000}}}",
    "deep blocks": "".join(f"{' ' * level}a:\n" for level in range(1200)),
    "a number of a million digits": f"{HEAD}metadata: {{a: {'9' * 1_000_000}}}",
    "a million open quotes": f"{HEAD}metadata: {{a: {chr(34) * 1_000_000}",
    "a million question marks": "? " * 400_000,
    "a million merges": f"{HEAD}metadata:\n  a: &a {{b: 1}}\n"
    + "".join(f"  k{n}: {{<<: *a}}\n" for n in range(40_000)),
}


BOMBS |= {
    "a list that is repeated in half of its places": f"{HEAD}metadata: {{a: &a [{', '.join('1' * 20_000)}], b: [*a, *a]}}",
    "an endless schema": json.dumps({**HEAD_VALUES, "inputs": {"required": [{"a": n} for n in range(10_000)]}}),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_is_refused_soon(reviewed_apart: Apart, bomb: str) -> None:
    codes = await reviewed_apart(BOMBS[bomb])

    assert codes != []


CROWDS = {
    "one long text": f'{HEAD}description: "{"x" * (MAX_BYTES - 100)}"\n',
    "half a million numbers": f"{HEAD}metadata: {{a: [{','.join(['1'] * 500_000)}]}}\n",
    "many small objects": json.dumps({"metadata": [{"a": 1}] * 100_000}),
    "many phases": HEAD + "phases:\n" + "".join(f"- {{phase_id: p{n}, objective: o}}\n" for n in range(28_000)),
    "many roles": HEAD + "roles:\n" + "".join(f"- {{role_id: r{n}}}\n" for n in range(40_000)),
    "as many nodes as there may be": HEAD
    + "nodes:\n"
    + "".join(f"- {{id: n{n}, type: function, function: f}}\n" for n in range(1000)),
    "a thousand nodes that depend on forty each": json.dumps({**HEAD_VALUES, "nodes": [
        {"id": f"n{n}", "type": "function", "function": "f", "depends": [f"n{m}" for m in range(max(n - 40, 0), n)]}
        for n in range(1000)]}),
    "a hundred thousand expressions": json.dumps(
        {**HEAD_VALUES, "nodes": [{"id": "a", "type": "function", "function": "f", "inputs": {"a": "{{a}}" * 180_000}}]}),
    "ten thousand different expressions": json.dumps(
        {**HEAD_VALUES, "nodes": [{"id": "a", "type": "function", "function": "f",
                                   "inputs": [f"{{{{ a + {n} }}}}" for n in range(40_000)]}]}),
    "many names that are near to those that are declared": json.dumps(
        {**HEAD_VALUES, "inputs": [{"name": f"{'n' * 94}{n}"} for n in range(100)],
         "nodes": [{"id": "a", "type": "function", "function": "f",
                    "inputs": {"a": [f"{{{{ inputs.{'n' * 94}x{n} }}}}" for n in range(8000)]}}]}),
    "many inputs, and a thousand nodes that read none of them": json.dumps(
        {**HEAD_VALUES, "inputs": {"properties": {f"p{n}": {} for n in range(18_000)}, "additionalProperties": False},
         "nodes": [{"id": f"n{n}", "type": "approval", "prompt": f"{{{{ z{n} }}}}"} for n in range(1000)]}),
    "a chain of ten thousand references": json.dumps({**HEAD_VALUES, "inputs": {
        "$ref": "#/$defs/0", "$defs": {n: {"$ref": f"#/$defs/{n + 1}"} for n in range(9_999)} | {9_999: {}}}}),
    "ten thousand patterns": json.dumps({**HEAD_VALUES, "inputs": {
        "allOf": [{"pattern": f"\\w{{{n % 1000}}}$"} for n in range(10_000)]}}),
    "a crowd of schemas that lead to all others": json.dumps({**HEAD_VALUES, "inputs": {"$ref": "#/$defs/0", "$defs": {
        n: {"allOf": [{"$ref": f"#/$defs/{m}"} for m in range(n + 1, 41)]} for n in range(41)}}}),
    "nodes that depend on all before them": HEAD
    + "nodes:\n"
    + "".join(f"- {{id: n{n}, type: function, function: f, depends: [{', '.join(f'n{m}' for m in range(n))}]}}\n"
              for n in range(500)),
}  # fmt: skip


@pytest.mark.parametrize("crowd", CROWDS)
async def test_a_document_at_the_limit_of_its_size_is_answered_soon(reviewed_apart: Apart, crowd: str) -> None:
    text = CROWDS[crowd]

    assert len(text) <= MAX_BYTES
    assert isinstance(await reviewed_apart(text), list)


@pytest.mark.parametrize(
    "expression",
    ["1+" * 100_000 + "1", "a" + ".b" * 100_000, "a" + "[0]" * 100_000, "(" * 50_000 + "1" + ")" * 50_000,
     "!" * 200_000 + "true", "true ? 1 : " * 40_000 + "1"],
    ids=["sums", "members", "places", "brackets", "denials", "choices"],
)  # fmt: skip
async def test_an_expression_without_end_is_refused_and_does_not_end_the_server(
    reviewed_apart: Apart, expression: str
) -> None:
    node = {"id": "a", "type": "deterministic", "command": "x", "args": [f"{{{{ {expression} }}}}"]}

    codes = await reviewed_apart(json.dumps({**HEAD_VALUES, "nodes": [node]}))

    assert codes == ["EXPRESSION_INVALID"]


def test_loops_that_no_list_of_any_size_could_be_right_for_are_refused() -> None:
    nested = "{{ " + "l.map(a, " * 5 + "a" + ")" * 5 + " }}"
    node = {
        "id": "a",
        "type": "function",
        "function": "f",
        "inputs": {"x": nested, "y": nested.replace("l.map(a, a)", "a")},
    }

    found = review(json.dumps({**HEAD_VALUES, "nodes": [node]}).encode())

    assert [(fault.path, fault.code) for fault in found.errors] == [("nodes[0].inputs.x", "EXPRESSION_INVALID")]
    assert "5 deep; 4 are the most" in found.errors[0].reason


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("[1]" + ".map(a, [a, a])" * 40, "steps where each list has one item, and 25000000 are the most"),
        ("names" + ".map(a, a + a)" * 40, "steps where each list has one item, and 25000000 are the most"),
        ("(" * 65 + "1" + ")" * 65, "brackets stand more than 64 deep inside each other"),
    ],
)
def test_an_expression_that_nobody_could_evaluate_is_refused(expression: str, reason: str) -> None:
    node = {"id": "a", "type": "function", "function": "f", "inputs": {"x": f"{{{{ {expression} }}}}"}}

    found = review(json.dumps({**HEAD_VALUES, "nodes": [node]}).encode())

    assert [fault.code for fault in found.errors] == ["EXPRESSION_INVALID"]
    assert reason in found.errors[0].reason
