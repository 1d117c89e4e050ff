"""Edges and handlers that take failures: what they are for, where they stand in the graph, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from perdure.runlog.plans import WalkPlan
from perdure.v1 import instances_pb2, plans_pb2

Faults = list[tuple[str, str]]
REJECTED = instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED


def work(node_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "function", "function": "do", **fields}


def gate(node_id: str = "ask", **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "approval", "prompt": "Go on?", **fields}


def test_nodes_that_only_a_failure_leads_to_are_no_part_of_the_order_in_which_nodes_are_written(
    plan_of: Callable[..., plans_pb2.Plan],
) -> None:
    edges = [{"from": "ask", "to": "rework", "on": "rejected"}]
    handlers = [{"action": "go_to", "to": "clean"}]

    plan = plan_of(
        nodes=[work(), gate(), work("rework"), work("b"), work("clean")], edges=edges, error_handlers=handlers
    )

    steps = [(edge.source, edge.target) for edge in plan.edges if not edge.HasField("on")]
    assert steps == [("a", "ask"), ("ask", "b")]
    (taken,) = [edge for edge in plan.edges if edge.HasField("on")]
    assert (taken.source, taken.target, taken.on) == ("ask", "rework", plans_pb2.Failures(causes=[REJECTED]))
    assert list(plan.error_handlers[0].nodes) == ["a", "ask", "rework", "b"]
    assert plan.error_handlers[0].on == plans_pb2.Failures(any=True)
    assert WalkPlan(plan).predecessors["clean"] == ["a", "ask", "rework", "b"]


def test_a_handler_without_nodes_is_for_all_that_no_handler_leads_to(plan_of: Callable[..., plans_pb2.Plan]) -> None:
    nodes = [work(), work("b"), gate("help"), work("after"), work("last")]
    edges = [{"from": "a", "to": "b"}, {"from": "help", "to": "after"}]
    handlers = [
        {"on": "EXIT_CODE", "action": "escalate", "to": "help"},
        {"on": ["NODE_TIMED_OUT", "failed"], "action": "go_to", "to": "last"},
        {"action": "continue", "nodes": ["after"], "output": {"count": 0}},
        {"on": ["AGENT"], "action": "fail", "cause": "EXIT_CODE", "message": "call somebody"},
    ]

    plan = plan_of(nodes=nodes, edges=edges, error_handlers=handlers)

    assert [list(handler.nodes) for handler in plan.error_handlers[:2]] == [["a", "b"], ["a", "b"]]
    assert plan.error_handlers[2].output == b'{"count":0}'
    assert len(plan.error_handlers[3].nodes) == 5
    assert plan.error_handlers[3].message == "call somebody"


@pytest.mark.parametrize(
    ("handler", "path", "code"),
    [
        ({"action": "go_to"}, "to", "FIELD_MISSING"),
        ({"action": "go_to", "to": "nobody"}, "to", "NODE_UNKNOWN"),
        ({"action": "escalate", "to": "b"}, "to", "ESCALATE_NOT_APPROVAL"),
        ({"action": "go_to", "to": "b", "nodes": ["x"]}, "nodes[0]", "NODE_UNKNOWN"),
        ({"action": "go_to", "to": "b", "on": "EXITCODE"}, "on", "CAUSE_UNKNOWN"),
        ({"action": "go_to", "to": "b", "on": "DEADLINE"}, "on", "CAUSE_UNKNOWN"),
        ({"action": "fail", "cause": "Whatever"}, "cause", "CAUSE_UNKNOWN"),
        ({"action": "fail", "to": "b"}, "to", "HANDLER_FIELD"),
        ({"action": "continue", "on": "rejected"}, "on", "REJECTION_PASSED"),
        ({"action": "continue", "output": {"a": ["{{ x }}"]}}, "output", "EXPRESSION_INVALID"),
        ({"action": "retry"}, "action", "FIELD_VALUE"),
        ({"action": "go_to", "to": "a"}, "to", "HANDLER_COVERS_NOTHING"),
    ],
)
def test_a_handler_that_could_do_nothing_is_a_fault(
    found: Callable[..., Faults], handler: dict[str, Any], path: str, code: str
) -> None:
    edges = [{"from": "a", "to": "b"}]

    assert found(nodes=[work(), work("b")], edges=edges, error_handlers=[handler]) == [
        (f"error_handlers[0].{path}", code)
    ]


def test_a_failure_goes_forward_only(found: Callable[..., Faults]) -> None:
    nodes, edges = [work(), work("b")], [{"from": "a", "to": "b"}]

    assert found(nodes=nodes, edges=[*edges, {"from": "b", "to": "a", "on": "failed"}]) == [("nodes[0]", "CYCLE")]
    handler = {"action": "go_to", "to": "a", "nodes": ["b"]}
    assert found(nodes=nodes, edges=edges, error_handlers=[handler]) == [("nodes[0]", "CYCLE")]


@pytest.mark.parametrize(
    ("edge", "path", "code"),
    [
        ({"on": "failed", "when": "true"}, "edges[1].when", "ON_WITH_WHEN"),
        ({"on": "often"}, "edges[1].on", "CAUSE_UNKNOWN"),
        ({"on": []}, "edges[1].on", "FIELD_VALUE"),
        ({"on": "failed", "contract": {"ensures": ["x"]}}, "edges[1].contract", "CONTRACT_IMPOSSIBLE"),
    ],
)
def test_an_edge_that_could_take_no_failure_is_a_fault(
    found: Callable[..., Faults], edge: dict[str, Any], path: str, code: str
) -> None:
    edges = [{"from": "a", "to": "b"}, {"from": "a", "to": "c", **edge}]

    assert (path, code) in found(nodes=[work(), work("b"), work("c")], edges=edges)


def test_two_edges_do_not_take_the_same_failure(found: Callable[..., Faults]) -> None:
    edges = [{"from": "a", "to": name, "on": ["failed", "rejected"]} for name in "bc"]

    assert found(nodes=[work(), work("b"), work("c")], edges=edges) == [
        ("edges[1].on", "ON_TWICE"),
        ("edges[1].on", "ON_TWICE"),
    ]


def test_what_follows_a_failure_sees_what_came_before_it_and_is_warned_of_what_may_be_absent(reviewed: Any) -> None:
    nodes = [
        work(),
        work("b"),
        work("clean", inputs={"of": "{{ last_failed_node }}", "a": "{{ nodes.a.x }}", "b": "{{ nodes.b.x }}"}),
        work("later", inputs={"x": "{{ nodes.clean.x }}"}),
    ]
    edges = [{"from": "a", "to": "b"}, {"from": "b", "to": "later"}, {"from": "b", "to": "clean", "on": "failed"}]

    result = reviewed(nodes=nodes, edges=edges)

    assert [(fault.path, fault.code) for fault in result.errors] == [("nodes[3].inputs.x", "REFERENCE_NOT_BEFORE")]
    assert [(doubt.path, doubt.code) for doubt in result.warnings] == [("nodes[2].inputs.b", "NODE_MAY_BE_ABSENT")]
