"""Everything in the protos is explained, by a sentence that adds something to its name."""

import re
from typing import Any

import pytest

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
ARTICLES = frozenset({"a", "an", "the", "its", "this", "that", "of"})
"""Words that add nothing to a name."""

FORM = re.compile(r"`[a-z]+/\{")
"""A resource name's form, such as `runs/{run}`, tells what to write; a name does not."""


def words(text: str) -> set[str]:
    """The words of a name or a sentence, in the singular."""
    return {word.lower().removesuffix("s") for word in WORD.findall(text)} - {""}


def says_more_than_its_name(element: Any) -> bool:
    added = words(element.comment) - words(element.name) - ARTICLES
    return bool(added) or FORM.match(element.comment) is not None


def unexplained(contract: Any) -> list[str]:
    return [f"{element} ({element.comment})" for element in contract.elements if not says_more_than_its_name(element)]


def unfinished(contract: Any) -> list[str]:
    return [
        f"{element} ({element.comment})" for element in contract.elements if not element.comment.endswith((".", "?"))
    ]


def test_every_comment_says_more_than_the_name_below_it(contract: Any) -> None:
    assert unexplained(contract) == []


def test_every_comment_ends_as_a_sentence_does(contract: Any) -> None:
    assert unfinished(contract) == []


def test_every_kind_of_element_was_looked_at(contract: Any) -> None:
    kinds = {element.kind for element in contract.elements}

    assert kinds == {"service", "rpc", "message", "field", "oneof", "enum", "value"}
    assert len(contract.files) == len({element.file for element in contract.elements})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("// A run.\nmessage Run {\n  // Lease id.\n  string lease_id = 1;\n}", "Run.lease_id"),
        ("// Stored nowhere.\nmessage Lease {\n  // The lease's ids.\n  string lease_id = 1;\n}", "Lease.lease_id"),
        ("// Stored nowhere.\nmessage Lease {\n  string lease_id = 1;\n}", "Lease.lease_id"),
        ("// Words.\nenum Mood {\n  // Never.\n  MOOD_UNSPECIFIED = 0;\n  // Glad.\n  MOOD_GLAD = 1;\n}", "Mood.MOOD_GLAD"),
        ("// For all.\nservice Greeter {\n  // Greet.\n  rpc Greet(M) returns (M);\n}\n// Empty.\nmessage M {}",
         "Greeter.Greet"),
        ("// Empty otherwise.\nmessage M {\n  oneof kind {\n    // How many.\n    int32 number = 1;\n  }\n}", "M.kind"),
    ],
)  # fmt: skip
def test_a_comment_that_repeats_the_name_is_found(written: Any, text: str, name: str) -> None:
    contract = written(mood=text)

    found = [element.partition(" (")[0] for element in unexplained(contract)]

    assert f"perdure/v1/mood.proto: perdure.v1.{name}" in found


def test_a_comment_without_an_end_is_found(written: Any) -> None:
    contract = written(mood="// How somebody feels\nmessage Mood {}")

    assert unfinished(contract) == ["perdure/v1/mood.proto: perdure.v1.Mood (How somebody feels)"]
