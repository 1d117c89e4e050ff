"""What is wrong is told at once: a part that has not its form hides no fault of the others, and makes up none."""

from collections.abc import Callable
from typing import Any

import pytest

Faults = Callable[..., list[tuple[str, str]]]


def command(node_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "deterministic", "command": "true", "effect": "none", **fields}


NODES = [command("a"), {"id": "ask", "type": "approval", "prompt": "Go on?"}, command("b")]
IN_ORDER = [{"from": "a", "to": "ask"}, {"from": "ask", "to": "b"}]


def test_a_handler_with_an_unknown_action_hides_no_other_fault(found: Faults) -> None:
    edges = [IN_ORDER[0], {"from": "ask", "to": "b", "when": "{{ x }}"}, {"from": "b", "to": "nobody"}]
    handlers = [
        {"action": "explode"},
        {"action": "go_to"},
        {"action": "escalate", "to": "b"},
        {"action": "fail", "cause": "NOSUCH"},
    ]

    assert found(nodes=NODES, edges=edges, error_handlers=handlers) == [
        ("error_handlers[0].action", "FIELD_VALUE"),
        ("edges[2].to", "NODE_UNKNOWN"),
        ("edges[1].when", "EXPRESSION_INVALID"),
        ("error_handlers[1].to", "FIELD_MISSING"),
        ("error_handlers[2].to", "ESCALATE_NOT_APPROVAL"),
        ("error_handlers[3].cause", "CAUSE_UNKNOWN"),
    ]


def test_an_unknown_field_hides_nothing_of_its_own_node(found: Faults) -> None:
    assert found(nodes=[command("a", comand="echo", args=["{{ ("])]) == [
        ("nodes[0].comand", "FIELD_UNKNOWN"),
        ("nodes[0].args[0]", "EXPRESSION_INVALID"),
    ]


def test_a_head_that_is_missing_hides_no_fault_of_a_node(found: Faults) -> None:
    assert found(title=None, nodes=[command("a", args=["{{ ("])]) == [
        ("title", "FIELD_MISSING"),
        ("nodes[0].args[0]", "EXPRESSION_INVALID"),
    ]


def test_of_a_node_that_has_not_its_form_others_may_speak(found: Faults) -> None:
    reads = command("b", args=["{{ nodes.a.stdout }}"])

    assert found(nodes=[command("a", command=5), reads]) == [("nodes[0].command", "FIELD_TYPE")]
    assert found(nodes=[{"id": "a", "type": "robot"}, reads]) == [("nodes[0].type", "NODE_TYPE_UNKNOWN")]


def test_where_an_edge_cannot_be_read_nothing_is_said_of_the_order_of_nodes(found: Faults) -> None:
    reads = command("b", args=["{{ nodes.a.stdout }}"])

    assert found(
        nodes=[command("a"), command("c"), reads], edges=[{"from": "a", "to": 5}, {"from": "c", "to": "b"}]
    ) == [("edges[0].to", "FIELD_TYPE")]


@pytest.mark.parametrize("title", ["two\nlines", "a line\n", "\r"])
def test_a_title_is_one_line(reviewed: Callable[..., Any], title: str) -> None:
    (fault,) = reviewed(title=title).errors

    assert (fault.path, fault.code) == ("title", "FIELD_VALUE")
    assert fault.reason == "it must be one line, without a break at its end"


@pytest.mark.parametrize(("kind", "fits"), [("array", False), (["string", "null"], False), (["object", "null"], True)])
def test_inputs_that_no_object_fits_are_refused(found: Faults, kind: Any, fits: bool) -> None:
    assert found(inputs={"type": kind}) == ([] if fits else [("inputs.type", "SCHEMA_INVALID")])


def test_a_payload_that_no_object_fits_is_refused(found: Faults) -> None:
    waits = {"id": "w", "type": "wait", "signal": "go", "payload_schema": {"type": "array"}}

    assert found(nodes=[waits]) == [("nodes[0].payload_schema.type", "SCHEMA_INVALID")]


def test_nodes_that_are_no_list_are_one_fault(found: Faults) -> None:
    assert found(nodes="a", edges=IN_ORDER) == [("nodes", "FIELD_TYPE")]
