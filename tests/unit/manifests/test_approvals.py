"""Hold points as they are written: what is wrong with one, and what is made of it."""

from collections.abc import Callable
from typing import Any

import pytest

from perdure.v1 import plans_pb2
from perdure.v1.decisions_pb2 import ApprovalKind, DecisionKind

Fields = dict[str, Any]


def gate(**fields: Any) -> Fields:
    return {"id": "ask", "type": "approval", "prompt": "Is it good?", **fields}


def words(plan: plans_pb2.ApprovalNode) -> list[str]:
    return [DecisionKind.Name(kind).removeprefix("DECISION_KIND_").lower() for kind in plan.allowed]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"decisions": ["approved", "approved"]}, "decisions"),
        ({"decisions": ["rejected"]}, "decisions"),
        ({"options": ["a", "b"]}, "options"),
        ({"default_option": "a"}, "default_option"),
        ({"kind": "select"}, "options"),
        ({"kind": "select", "options": ["a"]}, "options"),
        ({"kind": "select", "options": ["a", {"id": "a", "label": "again"}]}, "options"),
        ({"kind": "select", "options": ["a", "b"], "default_option": "c"}, "default_option"),
        ({"content_schema": {}}, "content_schema"),
        ({"content_key": "report"}, "content_key"),
        ({"kind": "select", "options": ["a", "b"], "content_key": "report"}, "content_key"),
        ({"kind": "input", "content_key": "decision"}, "content_key"),
        ({"assignees": ["role:viewer"]}, "assignees[0]"),
        ({"assignees": ["keys/ada", "keys/ada"]}, "assignees[1]"),
        ({"assignees": ["keys/ada"], "quorum": 2}, "quorum"),
        ({"kind": "review", "quorum": 2}, "quorum"),
        ({"kind": "input", "on_timeout": "continue"}, "on_timeout"),
        ({"kind": "select", "options": ["a", "b"], "on_timeout": "continue"}, "on_timeout"),
        ({"on_timeout": "escalate"}, "escalate_to"),
        ({"escalate_to": [{"to": ["role:admin"]}]}, "escalate_to"),
        (
            {"on_timeout": "escalate", "escalate_to": [{"to": ["keys/ada"]}, {"to": ["role:admin"]}]},
            "escalate_to[0].timeout_seconds",
        ),
        ({"on_timeout": "escalate", "escalate_to": [{"to": ["role:viewer"]}]}, "escalate_to[0].to[0]"),
        ({"remind_after_seconds": [60.0, 60.0]}, "remind_after_seconds[1]"),
        ({"remind_after_seconds": [60.0], "timeout_seconds": 60.0}, "remind_after_seconds[0]"),
    ],
)
def test_what_cannot_be_asked_so_is_refused_where_it_stands(found: Any, fields: Fields, path: str) -> None:
    assert found(nodes=[gate(**fields)]) == [(f"nodes[0].{path}", "APPROVAL_UNCLEAR")]


@pytest.mark.parametrize(
    ("fields", "path", "code"),
    [
        ({"kind": "vote"}, "kind", "FIELD_VALUE"),
        ({"quorum": 0}, "quorum", "FIELD_VALUE"),
        ({"assignees": [""]}, "assignees[0]", "FIELD_VALUE"),
        ({"assignees": ["{{ 1 + }}"]}, "assignees[0]", "EXPRESSION_INVALID"),
        ({"assignees": ["keys/ada", "ada"]}, "assignees[1]", "APPROVAL_UNCLEAR"),
        ({"on_timeout": "escalate", "escalate_to": [{"to": ["Keys/ada"]}]}, "escalate_to[0].to[0]", "APPROVAL_UNCLEAR"),
        ({"decisions": []}, "decisions", "FIELD_VALUE"),
        ({"decisions": ["maybe"]}, "decisions[0]", "FIELD_VALUE"),
        ({"kind": "input", "content_schema": {"type": 5}}, "content_schema.type", "SCHEMA_INVALID"),
        (
            {"kind": "select", "options": ["a", {"id": "b", "label": "{{ 1 + }}"}]},
            "options[1].label",
            "EXPRESSION_INVALID",
        ),
    ],
)
def test_a_field_that_cannot_be_read_is_refused_where_it_stands(
    found: Any, fields: Fields, path: str, code: str
) -> None:
    assert found(nodes=[gate(**fields)]) == [(f"nodes[0].{path}", code)]


@pytest.mark.parametrize(
    ("kind", "fields", "allowed", "key"),
    [
        ("approve", {}, ["approved", "rejected"], ""),
        ("review", {}, ["approved", "rejected", "edited"], "content"),
        ("input", {"content_key": "answer"}, ["rejected", "provided"], "answer"),
        ("select", {"options": ["a", "b"]}, ["rejected", "selected"], ""),
        ("review", {"decisions": ["edited", "approved"]}, ["approved", "edited"], "content"),
    ],
)
def test_each_kind_allows_what_it_is_for_unless_its_node_says_what(
    plan_of: Callable[..., plans_pb2.Plan], kind: str, fields: Fields, allowed: list[str], key: str
) -> None:
    plan = plan_of(nodes=[gate(kind=kind, **fields)]).nodes[0].approval

    assert ApprovalKind.Name(plan.kind) == f"APPROVAL_KIND_{kind.upper()}"
    assert (words(plan), plan.content_key) == (allowed, key)


@pytest.mark.parametrize(
    ("fields", "read", "known"),
    [
        ({"kind": "review", "content_key": "report"}, "nodes.ask.report", True),
        ({"kind": "review", "content_key": "report"}, "nodes.ask.content", False),
        ({"kind": "input"}, "nodes.ask.content", True),
        ({}, "nodes.ask.content", False),
        ({}, "nodes.ask.decided_at", True),
    ],
)
def test_what_reads_the_content_of_a_decision_is_known_to_be_there(
    reviewed: Any, fields: Fields, read: str, known: bool
) -> None:
    behind = {"id": "go", "type": "function", "function": "f", "effect": "none", "inputs": {"x": f"{{{{ {read} }}}}"}}

    result = reviewed(nodes=[gate(**fields), behind])

    assert ("OUTPUT_UNKNOWN" in [warning.code for warning in result.warnings]) is not known
