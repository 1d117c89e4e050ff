"""An expression that could go on for very long is refused before it begins; what people write is not."""

import json
import subprocess
import sys
from typing import Any

import pytest

from perdure.expressions.loops import loops
from perdure.v1 import instances_pb2
from perdure_executor.expressions import render, value_of
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
    "lists that double forty times": ("inputs.l" + ".map(a, [a, a])" * 40, {"l": [1]}),
    "texts that double thirty times": ("inputs.l" + ".map(a, a + a)" * 30, {"l": ["x"]}),
    "maps that double": ("inputs.l" + ".map(a, {'b': a, 'c': a})" * 40, {"l": [1]}),
    "a field of what doubles": ("inputs.l" + ".map(a, {'b': [a, a]}.b)" * 40, {"l": [1]}),
    "a choice of what doubles": ("inputs.l" + ".map(a, true ? [a, a] : [])" * 40, {"l": [1]}),
    "what doubles inside of what doubles": ("inputs.l" + ".map(a, [a, a].map(b, [b, b]))" * 20, {"l": [1]}),
    "a list of long texts": ("inputs.l.map(a, a).size()", {"l": ["x" * 10_000] * 2000}),
    "a list of large maps": ("inputs.l.filter(a, true).size()", {"l": [{f"k{n}": n for n in range(100)}] * 2000}),
    "a long text for every item": ("inputs.l.map(a, inputs.s).size()", {"l": [1] * 1000, "s": "x" * 1_000_000}),
    "a large thing beside what is read for every item": (
        "inputs.l.all(a, inputs.a.b.c == 1)",
        {"l": [1] * 3000, "a": {"b": {"c": 1, "d": [1] * 100_000}}},
    ),
    "one value two hundred times": (f"[{', '.join(['inputs.l'] * 200)}]", {"l": [1] * 300_000}),
    "lists by their place in maps": (
        "inputs.l.map(a, inputs.m['k' + 'l'].map(b, [b, b, b]))",
        {"l": [1] * 300, "m": {"kl": ["x" * 200] * 1000}},
    ),
    "a list of one list again and again": (
        "inputs.l.map(a, inputs.l).map(b, b.map(c, c)).map(d, d.size())",
        {"l": ["x" * 100] * 400},
    ),
    "a pattern that is read for every item": (
        r"inputs.l.exists(a, 'x'.matches('(\\\\w{50}){20}') || false)",
        {"l": [1] * 5000},
    ),
    "a pattern that nobody knows": ("inputs.s.matches(inputs.p)", {"s": "ab" * 400_000, "p": "[ab]*b[ab]{900}c$"}),
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
        ("inputs.files.map(file, file.name)", ["0", *"1" * 199]),
        ("inputs.files.filter(file, file.text.size() > 9).map(file, {'name': file.name})", [{"name": "0"}]),
        ("inputs.files.map(file, file.parts.filter(part, part > 2).map(part, [part, part])).size()", 200),
        ("inputs.files.all(file, file.name.matches('^[a-z0-9_.-]+$'))", True),
        ("inputs.files.map(file, 'in ' + file.name + ': ' + file.text).size() == 200 ? 'all' : 'some'", "all"),
        ('inputs["few"].exists_one(a, a in inputs.some)', False),
        ("inputs.records.map(one, one.name).filter(name, name != 'b').size()", 2000),
        ("inputs.records.map(one, one.tags.map(tag, tag.id)).size()", 2000),
    ],
)
def test_what_people_write_is_evaluated(source: str, value: Any) -> None:
    inputs = {
        "many": list(range(300_000)), "some": list(range(2000)), "few": list(range(100)), "text": "y",
        "records": [{"name": "a", "size": 1, "more": {"of": ["this", "and", "that"]}, "tags": [{"id": 1}]}] * 2000,
        "files": [{"name": "0", "text": "long" * 50_000, "parts": [1, 2, 3]}] + [
            {"name": "1", "text": "short", "parts": [1, 2, 3]}] * 199,
    }  # fmt: skip

    assert value_of(source, {"inputs": inputs}) == value


def test_many_expressions_of_one_value_take_no_more_than_one_may() -> None:
    twice = {"l": list(range(4000))}
    assert len(render("{{ inputs.l.map(a, a) }}", {"inputs": twice})) == 4000

    with pytest.raises(CannotPrepare, match="of others beside it, and 25000000 are the most"):
        render(
            {"args": ["{{ inputs.l.map(a, a) }} and {{ inputs.l.map(a, a) }}", "{{ inputs.l.map(a, a) }}"] * 9},
            {"inputs": twice},
        )


@pytest.mark.parametrize("loop", [".map(a, [a, a])", ".map(a, a + a)", ".map(a, {'b': a, 'c': a})"])
def test_what_is_twice_as_much_after_every_loop_is_counted_so(loop: str) -> None:
    assert loops("l" + loop * 40).steps({"l": ["x"]})[0] > 2**40


@pytest.mark.parametrize(
    ("size", "source"),
    [(3, "a[0].b + [1]"), (5, '["x", {"a": [1, a]}.a]'), (4, "a.map(x, [x, x]).filter(y, y != b)"), (2, "string(b)"),
     (6, "a.exists(x, x > 1) ? a : [b]"), (2, "(a)[0][b.size()]"), (1, "a.?c"), (3, "[a].map(x, x[0]).all(y, y != b)")],
)  # fmt: skip
def test_an_expression_takes_more_steps_the_more_there_is_to_read(size: int, source: str) -> None:
    found = loops(source)
    steps = [found.steps({"a": [[1] * 10] * count, "b": "x" * 1000 * count})[0] for count in (1, 10, 100)]

    assert size < steps[0] < steps[1] < steps[2]


@pytest.mark.parametrize(
    ("source", "depth"),
    [("a.b + 1", 0), ("a.map(x, x)", 1), ("a.map(x, x).filter(y, y)", 1), ("a . all (x, a.exists(y, x == y))", 2),
     ('"a.map(x, " + "b.map(y, "', 0), ("a.map(x, f(a.map(y, y)))", 2), ("a.map", 0), ("{'map': a.map(x, [x])}", 1),
     ("a.map(x, a.map(y, y)).map(z, z)", 2), ("a.map(x, x > 1, a.all(y, y))", 2)],
)  # fmt: skip
def test_loops_are_counted_as_deep_as_they_stand(source: str, depth: int) -> None:
    assert loops(source).depth == depth
