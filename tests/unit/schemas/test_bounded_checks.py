"""A check of any value against any schema that is taken ends soon, and says what is wrong without repeating the value."""

import json
import subprocess
import sys
from typing import Any

import pytest

from perdure.schemas.check import MAX_DEPTH, SchemaCheck
from perdure.schemas.patterns import states

NESTS = "^([a-z0-9]+-?)+$"
"""A matcher that tries one way after another takes twice as long for each further letter."""

FIRST_FAULT = """
import json, sys
from perdure.schemas.check import SchemaCheck
schema, value = json.load(sys.stdin)
print(SchemaCheck(schema).fault(value))
"""

LONG = "my-very-long-service-name-in-production-eu-central" * 20 + "_1"
NODE: dict[str, Any] = {"$ref": "#"}
HOSTILE: dict[str, tuple[Any, Any]] = {
    "a pattern": ({"pattern": NESTS}, LONG),
    "names by pattern": ({"patternProperties": {NESTS: {"type": "string"}}}, {LONG[:-2]: 1}),
    "what no pattern names": ({"patternProperties": {NESTS: {}}, "additionalProperties": False}, {LONG: 1}),
    "what nothing looked at": ({"patternProperties": {NESTS: {}}, "unevaluatedProperties": False}, {LONG: 1}),
    "names": ({"propertyNames": {"pattern": NESTS}}, {LONG: 1}),
    "names that nothing looked at": ({"unevaluatedProperties": False}, {f"k{n}": n for n in range(60_000)}),
    "different objects": ({"uniqueItems": True, "maxItems": 1}, [{"a": n} for n in range(60_000)]),
    "a large number": ({"multipleOf": 1e-300, "maximum": 1}, 10**4000),
    "many patterns": ({"allOf": [{"pattern": f"[ab]*b[ab]{{{n}}}c"} for n in range(100)]}, "ab" * 500_000),
    "many faults": ({"allOf": [{"type": "string"}] * 1000}, [1] * 300_000),
    "many faults in places of their own": ({"items": {"type": "string"}}, [1] * 300_000),
    "many branches": ({"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, [1] * 300_000),
}
"""Each is refused, and was checked, or would have been, for longer than anybody waits."""


def nested(levels: int, name: str = "x") -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {name: value}
    return value


HOSTILE |= {
    "two ways at each level": ({"allOf": [{"properties": {"x": NODE}}, {"properties": {"x": NODE}}]}, nested(100)),
    "three ways that all fail": (
        {"anyOf": [{"properties": {"x": NODE}, "minProperties": n} for n in range(3)], "type": "object"}, nested(40)),
    "a value of many levels": ({"additionalProperties": NODE, "type": "object"}, nested(300)),
    "many schemas inside each other at many levels": (
        {"$ref": "#/$defs/0", "$defs": {
            **{str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}]} for n in range(100)},
            "100": {"additionalProperties": {"$ref": "#/$defs/0"}, "type": "object"}}}, nested(120)),
    "more objects than anybody waits for what may be in them": (
        {"items": {"dependentSchemas": {f"p{n}": {"type": "null"} for n in range(20_000)}}, "maxItems": 1}, [{}] * 100_000),
    "fractions of large numbers": ({"items": {"multipleOf": 1e-300}, "maxItems": 1}, [1e300] * 150_000),
    "large numbers to choose from": (
        {"items": {"enum": [10**4000 + n for n in range(100)]}, "maxItems": 1}, [10**4000 + 99] * 220),
    "branches asked again at each of a hundred levels": (
        {"items": {"$ref": "#/$defs/0", "unevaluatedProperties": False}, "maxItems": 1, "$defs": {
            **{str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}]} for n in range(100)},
            "100": {"properties": {"x": {"type": "integer"}}}}}, [{"x": 1}] * 50_000),
    "levels of a value that each combine hundreds of schemas": (
        {"properties": {f"p{n}": {"$ref": "#/$defs/t"} for n in range(790)}, "$defs": {
            "t": {"allOf": [{"additionalProperties": {"$ref": "#"}}] * 195}}}, nested(120, "p0")),
    "half of a character": ({"type": "string"}, "\ud800"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_check_ends_and_says_that_the_value_does_not_fit(what: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", FIRST_FAULT], input=json.dumps(HOSTILE[what]), capture_output=True, text=True, timeout=30
    )

    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("$")


ANYTHING = {
    "anyOf": [{"type": ["string", "number"]}, {"items": {"$ref": "#"}}, {"additionalProperties": {"$ref": "#"}}]
}
RECORD = {"items": {"properties": {f"p{n}": {"type": "integer"} for n in range(50)}, "additionalProperties": False}}
TREE = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "additionalProperties": False}
FILTER = {"oneOf": [{"properties": {w: {"items": {"$ref": "#"}}}, "required": [w]} for w in ("and", "or", "not")]
          + [{"required": ["field"]}]}  # fmt: skip
OPEN = {"properties": {"id": {"type": "string"}, "tags": {"items": {"type": "string"}}}, "required": ["id"]}
CLOSED = {"$defs": {"open": OPEN}, "items": {
    "allOf": [{"$ref": "#/$defs/open"}, {"if": {"required": ["tags"]}, "then": {"properties": {"more": True}}}],
    "unevaluatedProperties": False}}  # fmt: skip
PRICES = {"items": {"type": "number", "minimum": 0, "multipleOf": 0.01}}
DATES = {"items": {"pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"type": "integer"}}, [1] * 500_000),
        (RECORD, [{f"p{n}": n for n in range(50)}] * 2000),
        (ANYTHING, nested(100)),
        (TREE, nested(100, "left")),
        (FILTER, {"and": [{"or": [{"not": [{"and": [{"field": 1}] * 9}]}] * 9}] * 9}),
        (DATES, ["2030-01-31T08:00:00Z"] * 40_000),
        (CLOSED, [{"id": "a", "tags": ["b", "c"], "more": 1}] * 20_000),
        (PRICES, [12.34] * 100_000),
    ],
    ids=["numbers", "records", "anything", "tree", "filter", "dates", "closed", "prices"],
)
def test_what_people_write_may_be_as_large_as_a_payload(schema: Any, value: Any) -> None:
    assert SchemaCheck(schema).fault(value) == ""


def test_one_level_more_than_are_checked_is_refused() -> None:
    check = SchemaCheck(True)

    assert check.fault(nested(MAX_DEPTH - 1)) == ""
    assert "too deep" in check.fault(nested(MAX_DEPTH))


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"required": ["a"]}, {}, "$ 'a' is a required property"),
        ({"properties": {"a": {"type": "integer"}}}, {"a": "secret"}, "$.a is not of type 'integer'"),
        ({"items": {"maximum": 9}}, [1, 10], "$[1] does not satisfy maximum: 9"),
        ({"properties": {"a": True}, "additionalProperties": False}, {"b": "secret"},
         "$ Additional properties are not allowed ('b' was unexpected)"),
        ({"propertyNames": {"maxLength": 1}}, {"secret": 1}, "$ has a property whose name does not satisfy maxLength: 1"),
        ({"anyOf": [{"type": "null"}, {"properties": {"a": {"enum": [1]}}}]}, {"a": 7}, "$.a does not satisfy enum: [1]"),
        (False, "secret", "$ does not satisfy falseSchema"),
    ],
)  # fmt: skip
def test_a_fault_says_where_and_what_and_not_the_value(schema: Any, value: Any, said: str) -> None:
    assert SchemaCheck(schema).fault(value) == said


@pytest.mark.parametrize(
    ("pattern", "least"),
    [
        ("^a+$", 4),
        ("(ab{3}){10}", 40),
        (r"[^\]]{5}\{9}", 6),
        ("(?:a|b){2,50}", 100),
        ("((a{9}){9}){9}", 729),
        ("[[:a:](x{9}){9}]", 81),
        ("[" * 1_000_000, 0),
    ],
)
def test_what_is_repeated_counts_as_often(pattern: str, least: int) -> None:
    assert least <= states(pattern) <= least * 2 + 8
