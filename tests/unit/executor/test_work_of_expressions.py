"""An expression that could go on for very long is refused before it begins; what people write is not."""

import json
import subprocess
import sys
from typing import Any

import pytest

from perdure.expressions.loops import loops
from perdure.v1 import instances_pb2
from perdure_executor.expressions import value_of
from perdure_executor.results import CannotPrepare

EVALUATED = """
import json, sys
from perdure_executor.expressions import value_of
from perdure_executor.results import CannotPrepare
source, bindings = json.load(sys.stdin)
try:
    value_of(source, bindings)
except CannotPrepare as error:
    print(error.failure.message)
"""

NESTED = "inputs.l.map(a, inputs.l.map(b, inputs.l.map(c, inputs.l.map(d, inputs.l.filter(e, e == 1).size())))).size()"
HOSTILE: dict[str, tuple[str, Any]] = {
    "five loops over sixty numbers": (NESTED, {"l": list(range(60))}),
    "two loops over many numbers": ("inputs.l.all(a, inputs.l.all(b, a != b - 1000000))", {"l": list(range(50_000))}),
    "a loop that copies what it has": ("inputs.l.map(a, a).size()", {"l": list(range(100_000))}),
    "a list that is looked through for every item": ("inputs.l.all(a, a in inputs.l)", {"l": list(range(100_000))}),
    "a list for every item": ("inputs.l.map(a, inputs.l)", {"l": ["x" * 1000] * 1000}),
    "lists that are put together first": ("(inputs.l + inputs.l + inputs.l + inputs.l).map(a, a)", {"l": [1] * 5000}),
    "texts that are put together": (" + ".join(["inputs.s"] * 150), {"s": "x" * 1_000_000}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_expression_without_end_fails_its_node_before_it_begins(what: str) -> None:
    source, inputs = HOSTILE[what]
    said = subprocess.run(
        [sys.executable, "-c", EVALUATED], input=json.dumps([source, {"inputs": inputs}]), capture_output=True,
        text=True, timeout=30,
    )  # fmt: skip

    assert said.returncode == 0, said.stderr
    assert "steps, and 25000000 are the most" in said.stdout


def test_the_failure_names_expression_depth_size_and_limit() -> None:
    with pytest.raises(CannotPrepare) as refused:
        value_of("inputs.l.all(a, inputs.l.all(b, a != b))", {"inputs": {"l": [1] * 10_000}})

    assert refused.value.failure.cause == instances_pb2.FAILURE_CAUSE_EXPRESSION
    assert (
        "'inputs.l.all(a, inputs.l.all(b, a != b))': loops 2 deep over up to 10000 items"
        in refused.value.failure.message
    )


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("inputs.many.all(a, a >= 0)", True),
        ("inputs.many.exists(a, a == 7)", True),
        ("inputs.some.map(a, a + 1).size()", 2000),
        ("inputs.some.filter(a, a in [1, 2])", [1, 2]),
        ("inputs.few.map(a, inputs.few.map(b, a * b)).size()", 100),
        ('"a.map(x, " + inputs.text', "a.map(x, y"),
    ],
)
def test_what_people_write_is_evaluated(source: str, value: Any) -> None:
    inputs = {"many": list(range(300_000)), "some": list(range(2000)), "few": list(range(100)), "text": "y"}

    assert value_of(source, {"inputs": inputs}) == value


@pytest.mark.parametrize(
    ("source", "depth"),
    [("a.b + 1", 0), ("a.map(x, x)", 1), ("a.map(x, x).filter(y, y)", 1), ("a . all (x, a.exists(y, x == y))", 2),
     ('"a.map(x, " + "b.map(y, "', 0), ("a.map(x, f(a.map(y, y)))", 2), ("a.map", 0), ("{'map': a.map(x, [x])}", 1)],
)  # fmt: skip
def test_loops_are_counted_as_deep_as_they_stand(source: str, depth: int) -> None:
    assert loops(source).depth == depth
