"""Graphs of nodes: where a failure may go back to, what guards may read, and what may have been passed over."""

from collections.abc import Callable
from typing import Any

import pytest

Faults = list[tuple[str, str]]


def work(node_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "function", "function": "do", **fields}


def gate(**fields: Any) -> dict[str, Any]:
    return {"id": "a", "type": "approval", "prompt": "Go on?", **fields}


def test_a_failure_may_go_back_within_its_branch_and_to_where_the_branches_begin(found: Callable[..., Faults]) -> None:
    nodes = [
        work(),
        work("b", depends=["a"]),
        work("b2", depends=["b"], on_failure={"inject_into": "b"}),
        work("c", depends=["a"], on_failure={"inject_into": "a"}),
        work("d", depends=["b2", "c"], on_failure={"inject_into": "a"}),
    ]

    assert found(nodes=nodes) == []


def test_where_a_failure_may_go_instead_is_said(reviewed: Callable[..., Any]) -> None:
    back = {"inject_into": "b"}
    nodes = [work(), work("b", depends=["a"]), work("c", depends=["a"]), work("d", depends=["b", "c"], on_failure=back)]

    (fault,) = reviewed(nodes=nodes).errors

    assert fault.reason == "'b' is in one branch, and 'd' is reached past it, too; it may go back to a"


def test_a_guard_may_read_its_own_node_and_all_before_it(found: Callable[..., Faults]) -> None:
    nodes = [work(), work("b"), work("c")]
    edges = [{"from": "a", "to": "b"}, {"from": "b", "to": "c", "when": "nodes.a.x == nodes.b.y"}]

    assert found(nodes=nodes, edges=edges) == []


def test_guards_are_compiled_and_an_edge_without_one_beside_them_is_for_the_other_case(
    plan_of: Callable[..., Any],
) -> None:
    nodes = [work(), work("b"), work("c"), work("d", depends=["b", "c"])]
    edges = [{"from": "a", "to": "b", "when": "x > 1"}, {"from": "a", "to": "c"}]

    plan = plan_of(nodes=nodes, edges=edges)

    steps = [(edge.source, edge.target, edge.when, edge.otherwise) for edge in plan.edges]
    assert steps == [("a", "b", "x > 1", False), ("a", "c", "", True), ("b", "d", "", False), ("c", "d", "", False)]


@pytest.mark.parametrize(
    "prompt",
    ["{{ nodes.a.x }}", "{{ nodes.b.x + nodes.c.x }}", "{{ has(nodes.e) ? nodes.e.x : '' }}", "{{ 'e' in nodes }}"],
)
def test_what_is_done_whatever_was_chosen_or_asked_for_is_no_doubt(reviewed: Callable[..., Any], prompt: str) -> None:
    nodes = [work(), work("b"), work("c"), work("e"), gate(id="d", prompt=prompt)]
    ends = [("a", "b"), ("a", "c"), ("b", "d"), ("e", "d")]
    edges = [{"from": source, "to": target} for source, target in ends]
    edges += [{"from": "c", "to": "e", "when": "x > 1"}, {"from": "c", "to": "d"}]

    result = reviewed(nodes=nodes, edges=edges, inputs={})

    assert (result.errors, [doubt.code for doubt in result.warnings if doubt.code != "NAME_UNKNOWN"]) == ((), [])
