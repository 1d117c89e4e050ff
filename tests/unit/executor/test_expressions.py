"""What an expression comes to is JSON, or its node fails; nothing else reaches a log."""

import json
from typing import Any

import pytest

from perdure.v1 import instances_pb2
from perdure_executor.expressions import render, render_stored
from perdure_executor.results import CannotPrepare


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("{{ 6 * 7 }}", 42),
        ("{{ [timestamp('2026-11-21T00:00:00Z')] }}", ["2026-11-21T00:00:00+00:00"]),
        ("{{ {'for': duration('90s')} }}", {"for": "90.0s"}),
        ("{{ [b'raw'] }}", ["raw"]),
        ("{{ {'a': [1.5, null, true]} }}", {"a": [1.5, None, True]}),
    ],
)
def test_a_value_is_json_however_deep_it_lies(expression: str, value: Any) -> None:
    rendered = render({"x": expression}, {})

    assert rendered == {"x": value}
    assert json.loads(json.dumps(rendered)) == rendered


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("{{ sum / count }}", "no number in JSON"),
        ("{{ [[-sum / count]] }}", "no number in JSON"),
        ("at {{ sum / count }}", "no number in JSON"),
        ("{{ {1: 'a', 'b': 'c'} }}", "keys are text"),
        ("{{ nobody.there }}", "Undefined variable"),
        ("{{ string(true) }}", "there is a function string(), and not for what it is given"),
        ("{{ value }}", "Undefined variable"),
        ("{{ 1 / whole }}", "it divides by zero"),
        ("{{ 1 % whole }}", "it divides by zero"),
        ("{{ [1].map(x, x / whole) }}", "it divides by zero"),
        ("{{ 9223372036854775807 + 1 }}", "verflow"),
        ("{{ deep }}", "a value in it is nested too deep"),
    ],
)
def test_what_json_has_no_value_for_fails_the_node_and_says_why(expression: str, said: str) -> None:
    with pytest.raises(CannotPrepare) as refused:
        render({"x": expression}, {"sum": 1.0, "count": 0.0, "whole": 0, "deep": deep(900)})

    assert refused.value.failure.cause == instances_pb2.FAILURE_CAUSE_EXPRESSION
    assert said in refused.value.failure.message


class Panic(BaseException):
    """What a library in another language raises where it is at its wit's end."""


def test_whatever_the_library_raises_is_that_expressions_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(source: str) -> Any:
        raise Panic

    monkeypatch.setattr("cel.compile", panics)

    with pytest.raises(CannotPrepare) as refused:
        render("{{ 40 + 2 + 0 }}", {})

    assert refused.value.failure.cause == instances_pb2.FAILURE_CAUSE_EXPRESSION
    assert refused.value.failure.message == "'40 + 2 + 0': Panic"


def deep(levels: int) -> Any:
    """A list of so many levels."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def test_nobody_looks_at_what_a_node_sees_for_inputs_without_an_expression() -> None:
    looked: list[str] = []

    def see() -> dict[str, Any]:
        looked.append("looked")
        return {"who": "world"}

    assert render_stored(b'{"a": ["plain", {"b": "{ x }"}]}', see) == {"a": ["plain", {"b": "{ x }"}]}
    assert not looked
    assert render_stored(b'{"a": ["{{ who }}"]}', see) == {"a": ["world"]}
