"""A schema that could keep a reader or a check busy is refused, soon, and with the reason."""

import json
import subprocess
import sys
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, ValidationError

from perdure.schemas.check import SchemaCheck
from perdure.schemas.reading import SchemaInvalid
from perdure.schemas.subschemas import KNOWN, REFUSED


@pytest.mark.parametrize(
    ("schema", "place", "word"),
    [
        ({"items": {"pattern": "^(?!a)"}}, ("items", "pattern"), "linear"),
        ({"$dynamicAnchor": "x", "items": {"$dynamicRef": "#x"}}, (), "dynamicRef"),
        ({"items": {"dependencies": {"x": {"required": ["y"]}}}}, (), "dependentSchemas"),
        ({"patternProperties": {r"(a)\1": True}}, ("patternProperties", r"(a)\1"), "linear"),
        ({"pattern": "(a"}, ("pattern",), "not JSON Schema"),
        ({"allOf": [{"$ref": "#"}]}, (), "itself"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, (), "itself"),
        ({"properties": {"a": {"$ref": "https://example.org/s"}}}, (), "does not hold"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, (), "does not hold"),
        ({"examples": [{"minLength": "x"}], "$ref": "#/examples/0"}, (), "is no schema"),
        ({"pattern": "(a{1000}){1000}"}, (), "parts"),
        ({"$defs": {"a": {"$id": "a", "$ref": "b"}}, "$ref": "#/$defs/a"}, (), "only a whole schema"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, ("$schema",), "says that it is 'http://json-schema.org/d"),
        ({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}, (), "only a whole schema"),
        ({"$defs": {"a": {"$anchor": "x", "type": "string"}, "b": {"$anchor": "x"}}, "$ref": "#x"}, (), "2 times"),
        ({"const": "\ud800"}, (), "not JSON"),
    ],
)  # fmt: skip
def test_a_schema_that_no_check_could_end_with_is_refused(schema: Any, place: tuple[Any, ...], word: str) -> None:
    with pytest.raises(SchemaInvalid, match=word) as refused:
        SchemaCheck(schema)

    assert refused.value.place == place


READ = """
import json, sys
from perdure.schemas.check import SchemaCheck
from perdure.schemas.reading import SchemaInvalid
try:
    SchemaCheck(json.load(sys.stdin))
except SchemaInvalid as error:
    print(error)
"""


def chain(length: int, of: Any, **beside: Any) -> Any:
    """A schema that leads to a schema that leads to a schema, and so on; `of` makes what leads to the next."""
    links = {str(n): of({"$ref": f"#/$defs/{n + 1}"}) for n in range(length)}
    return {"$defs": {**links, str(length): {"properties": {"x": {"type": "integer"}}}}, "$ref": "#/$defs/0", **beside}


def within(levels: int, word: str, schema: Any = True) -> Any:
    for _ in range(levels):
        schema = {word: schema}
    return schema


HOSTILE: dict[str, Any] = {
    "twice as many ways at each of forty levels, which the library all follows":
        chain(40, lambda link: {"allOf": [link, link]}, unevaluatedProperties=False),
    "the same for items": chain(40, lambda link: {"anyOf": [link, link]}, unevaluatedItems=False),
    "who asks what was looked at is asked":
        chain(30, lambda link: {"allOf": [link], "unevaluatedProperties": False}),
    "dependencies at each of forty levels": chain(40, lambda link: {"allOf": [{"dependencies": {"x": link}}] * 2}),
    "a chain of dependencies": chain(5_000, lambda link: {"dependencies": {"x": link}}),
    "a chain of references": chain(2_000, lambda link: link),
    "hundreds of levels": within(900, "not"),
    "a choice of hundreds of levels": {"enum": [within(900, "a")]},
    "hundreds of schemas in each of hundreds of places": {
        "properties": {f"p{n}": {"$ref": "#/$defs/t"} for n in range(990)},
        "$defs": {"t": {"allOf": [{"type": "object"}] * 499 + [{"additionalProperties": {"$ref": "#"}}]}}},
    "references to every level of a large part of itself": {
        "examples": [within(100, "not", {"properties": {f"p{n}": {"maximum": n} for n in range(1500)}})],
        "allOf": [{"$ref": "#/examples/0" + "/not" * levels} for levels in range(100)]},
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_schema_without_end_is_refused_before_anything_is_built_of_it(what: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", READ], input=json.dumps(HOSTILE[what]), capture_output=True, text=True, timeout=20
    )

    assert said.returncode == 0, said.stderr
    assert said.stdout != ""


SAID: tuple[Any, ...] = (
    False,
    True,
    [False],
    [["a"]],
    {"x": False},
    {"x": ["y"]},
    0,
    1,
    "a",
    "#",
    "integer",
    ["integer"],
)
VALUES: tuple[Any, ...] = ({}, {"x": 1}, [], [1, 1], ["a"], "a", "bbb", 0, 7, 0.5, None, True)


EVERY = """
$anchor $comment $defs $dynamicAnchor $dynamicRef $id $recursiveAnchor $recursiveRef $ref $vocabulary
additionalItems additionalProperties allOf anyOf const contains contentEncoding contentMediaType contentSchema default
definitions dependencies dependentRequired dependentSchemas deprecated description disallow discriminator divisibleBy
else enum examples exclusiveMaximum exclusiveMinimum extends format formatMaximum formatMinimum id if items maxContains
maxItems maxLength maxProperties maximum minContains minItems minLength minProperties minimum multipleOf not nullable
oneOf optional pattern patternProperties prefixItems properties propertyDependencies propertyNames readOnly required
requires then title type unevaluatedItems unevaluatedProperties uniqueItems writeOnly
"""
WORDS = frozenset(EVERY.split())
"""Every keyword that some version of JSON Schema has, or that people write as if one had it."""


def test_no_word_that_is_not_counted_takes_part_in_a_check() -> None:
    assert KNOWN < WORDS
    assert set(REFUSED) < WORDS

    assert {word for word in WORDS - KNOWN - set(REFUSED) if _takes_part(word)} == set()
    assert all(_takes_part(word) for word in ("not", "contains", "dependencies"))


def _takes_part(word: str) -> bool:
    """Whether some schema of this one word turns some value away."""
    for said in SAID:
        try:
            check = Draft202012Validator({word: said}, offline=True, validate_formats=False)
        except ValidationError:
            continue
        if not all(check.is_valid(value) for value in VALUES):
            return True
    return False
