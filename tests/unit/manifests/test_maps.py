"""Maps as they are written: what is wrong with one, and what is made of it."""

from collections.abc import Callable
from typing import Any

import pytest

from perdure.v1 import instances_pb2, plans_pb2

Fields = dict[str, Any]
WORK: Fields = {"type": "function", "function": "f", "effect": "none"}
FIRST: Fields = {"id": "first", **WORK}


def mapped(inside: Fields | None = None, **fields: Any) -> Fields:
    return {"id": "fan", "type": "map", "items": "nodes.first.list", "node": WORK | (inside or {}), **fields}


@pytest.mark.parametrize(
    ("node", "path", "code"),
    [
        (mapped(items="{{ nodes.first.list }}"), "items", "EXPRESSION_INVALID"),
        (mapped(items="nodes.fan.list"), "items", "REFERENCE_NOT_BEFORE"),
        (mapped({"inputs": {"x": "{{ item. }}"}}), "node.inputs.x", "EXPRESSION_INVALID"),
        (mapped({"inputs": {"x": "{{ nodes.fan.results }}"}}), "node.inputs.x", "REFERENCE_NOT_BEFORE"),
        (mapped({"id": "own"}), "node", "FIELD_VALUE"),
        (mapped({"type": "map"}), "node", "FIELD_VALUE"),
        (mapped({"type": "nothing"}), "node.type", "NODE_TYPE_UNKNOWN"),
        (mapped({"functoin": "f"}), "node.functoin", "FIELD_UNKNOWN"),
        (mapped({"depends": ["first"]}), "node.depends", "MAP_FIELD"),
        (mapped({"on_failure": {"inject_into": "first"}}), "node.on_failure.inject_into", "MAP_FIELD"),
        (mapped({"requires": {"schema": {"type": 5}}}), "node.requires.schema.type", "SCHEMA_INVALID"),
        (mapped({"requires": {"from": "fan"}}), "node.requires.from", "REFERENCE_NOT_BEFORE"),
        (mapped({"ensures": {"exit_code": 0}}), "node.ensures.exit_code", "CONTRACT_IMPOSSIBLE"),
        (mapped(node={"type": "agentic", "prompt": "x"}), "node.agent", "FIELD_MISSING"),
        (
            mapped(node={"type": "approval", "prompt": "x", "policy": "permissive"}),
            "node.policy",
            "NOT_SUPPORTED",
        ),
        (mapped(node={"type": "wait"}), "node.type", "WAIT_UNCLEAR"),
        (
            mapped(node={"type": "playbook", "playbook_id": "other", "version": "1"}),
            "node.playbook_id",
            "PLAYBOOK_UNKNOWN",
        ),
        (mapped(retry={}), "retry", "MAP_FIELD"),
        (mapped(on_failure={"max_iterations": 2}), "on_failure.max_iterations", "MAP_FIELD"),
        (mapped(ensures={"fields": ["results"]}), "ensures", "CONTRACT_NOT_CHECKED"),
        (mapped(tolerated_failures=1), "tolerated_failures", "MAP_FIELD"),
        (mapped(max_parallel=101), "max_parallel", "FIELD_VALUE"),
    ],
)
def test_a_fault_of_a_map_is_found_where_it_is(
    found: Callable[..., list[tuple[str, str]]], node: Fields, path: str, code: str
) -> None:
    assert (f"nodes[1].{path}", code) in found(nodes=[FIRST, node])


def test_what_an_item_reads_is_looked_at_as_what_any_node_does(reviewed: Callable[..., Any]) -> None:
    inside = {"inputs": {"good": "{{ item.name }}, {{ item_index }}", "bad": "{{ itme }}"}}

    doubts = reviewed(nodes=[FIRST, mapped(inside), {"id": "last", **WORK, "inputs": {"x": "{{ item }}"}}]).warnings

    assert [(doubt.path, doubt.code) for doubt in doubts if doubt.code == "NAME_UNKNOWN"] == []
    closed = {"id": "first", "type": "deterministic", "command": "x", "effect": "none"}
    declared = reviewed(inputs=[{"name": "list"}], nodes=[closed, mapped(inside, items="list")]).warnings
    assert [(doubt.path, doubt.code) for doubt in declared] == [("nodes[1].node.inputs.bad", "NAME_UNKNOWN")]


def test_the_plan_of_a_map_has_its_node_with_the_maps_id(plan_of: Callable[..., plans_pb2.Plan]) -> None:
    inside = {"effect": "at_most_once", "retry": {}, "on_failure": {"max_iterations": 2}, "timeout_seconds": 3}
    fan = plan_of(nodes=[FIRST, mapped(inside, max_parallel=4)]).nodes[1]

    assert (fan.effect, fan.HasField("iteration_cap")) == (instances_pb2.EFFECT_NONE, False)
    assert (fan.map.items, fan.map.max_parallel, fan.map.tolerated_failures) == ("nodes.first.list", 4, 0)
    assert (fan.map.node.id, fan.map.node.iteration_cap) == ("fan", 2)
    assert fan.map.node.effect == instances_pb2.EFFECT_AT_MOST_ONCE


@pytest.mark.parametrize(("count", "tolerated"), [(None, None), (3, 3)])
def test_a_map_that_goes_on_tolerates_any_number_unless_one_is_named(
    plan_of: Callable[..., plans_pb2.Plan], count: int | None, tolerated: int | None
) -> None:
    named = {"tolerated_failures": count} if count else {}
    over = plan_of(nodes=[FIRST, mapped(on_item_failure="continue", **named)]).nodes[1].map

    assert (over.tolerated_failures if over.HasField("tolerated_failures") else None) == tolerated


@pytest.mark.parametrize(
    ("inside", "kind", "of", "known"),
    [
        (WORK, "task", "fan", True),
        (WORK, "approval", "fan", False),
        ({"type": "approval", "prompt": "?"}, "approval", "fan", True),
        ({"type": "approval", "prompt": "?"}, "task", "fan", False),
    ],
)
def test_a_map_leaves_the_evidence_that_its_items_leave(
    reviewed: Callable[..., Any], inside: Fields, kind: str, of: str, known: bool
) -> None:
    required = [{"kind": kind, "id": of}]

    doubts = reviewed(nodes=[FIRST, mapped(node=inside)], required_evidence=required).warnings

    assert ("EVIDENCE_UNKNOWN" not in {doubt.code for doubt in doubts}) == known


def test_an_agent_inside_a_map_needs_its_provider(plan_of: Callable[..., plans_pb2.Plan]) -> None:
    agent = {"type": "agentic", "agent": "a", "prompt": "{{ item }}", "provider": "openai"}

    assert plan_of(nodes=[FIRST, mapped(node=agent)]).providers == ["openai"]
