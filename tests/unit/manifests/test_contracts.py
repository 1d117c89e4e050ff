"""Contracts of nodes and edges: what is refused because nobody could check it, or keep it."""

from collections.abc import Callable
from typing import Any

import pytest

from perdure.v1 import plans_pb2

Faults = list[tuple[str, str]]


def work(node_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "function", "function": "do", **fields}


def command(node_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "deterministic", "command": "true", **fields}


def test_contracts_are_part_of_the_plan(plan_of: Callable[..., plans_pb2.Plan]) -> None:
    ensures = {
        "fields": ["stdout"],
        "schema": {"required": ["stdout"]},
        "exit_code": 0,
        "output_files": ["a.txt", {"path": "{{ inputs.name }}", "min_bytes": 1, "max_bytes": 9, "sha256": "0" * 64}],
    }
    edges = [
        {
            "from": "a",
            "to": "b",
            "contract": {"ensures": ["stdout"], "requires": ["name"], "schema": {"type": "object"}},
        }
    ]

    plan = plan_of(
        nodes=[command(ensures=ensures), work("b", requires={"from": "a", "fields": ["stdout"]})], edges=edges
    )

    promised = plan.nodes[0].ensures
    assert (list(promised.fields), promised.schema, promised.exit_code) == (["stdout"], b'{"required":["stdout"]}', 0)
    assert [(file.path, file.min_bytes, file.HasField("max_bytes")) for file in promised.files] == [
        ("a.txt", 0, False),
        ("{{ inputs.name }}", 1, True),
    ]
    assert plan.nodes[1].requires == plans_pb2.Needs(source="a", fields=["stdout"])
    agreed = plan.edges[0].contract
    assert (list(agreed.ensures), list(agreed.requires), agreed.schema) == (["stdout"], ["name"], b'{"type":"object"}')


@pytest.mark.parametrize(
    ("node", "path", "code"),
    [
        (command(ensures={"exit_code": 3}), "ensures.exit_code", "CONTRACT_IMPOSSIBLE"),
        (work(ensures={"exit_code": 0}), "ensures.exit_code", "CONTRACT_IMPOSSIBLE"),
        (command(ensures={"fields": ["stdout", "report"]}), "ensures.fields[1]", "CONTRACT_IMPOSSIBLE"),
        (work(ensures={"schema": {"type": "objekt"}}), "ensures.schema.type", "SCHEMA_INVALID"),
        (work(requires={"schema": {"$ref": "https://example.org/s"}}), "requires.schema", "SCHEMA_INVALID"),
        (work(requires={"from": "nobody"}), "requires.from", "NODE_UNKNOWN"),
        (work(requires={"from": "z"}), "requires.from", "REFERENCE_NOT_BEFORE"),
        (work(ensures={"output_files": ["../a"]}), "ensures.output_files[0].path", "PATH_OUTSIDE"),
        (work(ensures={"output_files": ["/etc/passwd"]}), "ensures.output_files[0].path", "PATH_OUTSIDE"),
        (
            work(ensures={"output_files": [{"path": "a", "sha256": "12"}]}),
            "ensures.output_files[0].sha256",
            "FIELD_VALUE",
        ),
        (
            work(ensures={"output_files": [{"path": "a", "min_bytes": 2, "max_bytes": 1}]}),
            "ensures.output_files[0].max_bytes",
            "CONTRACT_IMPOSSIBLE",
        ),
        (work(ensures={"output_files": ["{{ nodes.z.x }}"]}), "ensures.output_files[0].path", "REFERENCE_NOT_BEFORE"),
        (work(ensures={"output_files": [{"size": 1}]}), "ensures.output_files[0].path", "FIELD_MISSING"),
        (work(requires={"field": ["a"]}), "requires.field", "FIELD_UNKNOWN"),
        ({"id": "a", "type": "approval", "prompt": "?", "ensures": {}}, "ensures", "CONTRACT_NOT_CHECKED"),
    ],
)
def test_a_contract_that_cannot_be_checked_or_kept_is_a_fault(
    found: Callable[..., Faults], node: dict[str, Any], path: str, code: str
) -> None:
    assert (f"nodes[0].{path}", code) in found(nodes=[node, work("z")])


def test_an_edge_promises_only_what_the_node_it_leaves_can_have(found: Callable[..., Faults]) -> None:
    edges = [{"from": "a", "to": "b", "contract": {"ensures": ["report"], "schema": {"type": 1}}}]

    faults = found(nodes=[command(), work("b")], edges=[*edges, {**edges[0], "contract": {}}])

    assert faults == [
        ("edges[0].contract.schema.type", "SCHEMA_INVALID"),
        ("edges[0].contract.ensures[0]", "CONTRACT_IMPOSSIBLE"),
        ("edges[1].contract", "EDGE_DUPLICATE"),
    ]


def test_to_require_the_output_of_a_node_that_may_be_passed_over_is_a_doubt(reviewed: Any) -> None:
    edges = [{"from": "a", "to": "b", "when": "true"}, {"from": "a", "to": "c"}, {"from": "b", "to": "c"}]

    result = reviewed(nodes=[work(), work("b"), work("c", requires={"from": "b", "fields": ["x"]})], edges=edges)

    assert [(doubt.path, doubt.code) for doubt in result.warnings] == [("nodes[2].requires.from", "NODE_MAY_BE_ABSENT")]
