"""A document is read as JSON values, whatever it is written in, and its digest covers those values and nothing else."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from perdure_control_plane.manifests.document import MAX_BYTES
from perdure_control_plane.manifests.review import review
from perdure_control_plane.manifests.values import MAX_DEPTH, MAX_VALUES

HEAD_VALUES = {"playbook_id": "p", "version": "1", "title": "t", "objective": "o"}
HEAD = "playbook_id: p\nversion: '1'\ntitle: t\nobjective: o\n"

WHOLE: dict[str, Any] = {
    "playbook_id": "release",
    "version": "1.0.0",
    "title": "Release",
    "objective": "Ship it",
    "inputs": {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]},
    "roles": [{"role_id": "lead", "purpose": "decides"}],
    "nodes": [
        {"id": "build", "type": "deterministic", "command": "make", "args": ["all"], "env": {"A": "1"}, "shell": False},
        {"id": "ask", "type": "approval", "prompt": "Go on with {{ nodes.build.stdout }}?", "timeout_seconds": 60},
        {"id": "send", "type": "function", "function": "send", "inputs": {"n": [1, 2.5, None, True]}},
    ],
    "edges": [{"from": "build", "to": "ask"}, {"from": "ask", "to": "send"}],
    "metadata": {"team": "blue"},
}


def read_metadata(text: str) -> Any:
    """What a flow mapping in a manifest's metadata is read as; a Review where it is refused."""
    result = review(f"{HEAD}metadata: {text}\n".encode())
    return result if result.manifest is None else result.manifest.metadata


def refusal(text: bytes | str) -> tuple[str, str]:
    result = review(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    (fault,) = result.errors
    assert result.digest == ""
    return fault.path, fault.code


def digest(manifest: Any) -> str:
    result = review(json.dumps(manifest).encode())
    assert result.digest
    return result.digest


def variations(value: Any) -> Iterator[Any]:
    """The value with one thing in it changed, for each thing in it."""
    match value:
        case dict():
            for key, inner in value.items():
                yield {other: kept for other, kept in value.items() if other != key}
                yield from ({**value, key: changed} for changed in variations(inner))
        case list():
            for index, inner in enumerate(value):
                yield value[:index] + value[index + 1 :]
                yield from ([*value[:index], changed, *value[index + 1 :]] for changed in variations(inner))
            if value != value[::-1]:
                yield value[::-1]
        case bool() | None:
            yield "other"
        case str():
            yield f"{value} "
        case _:
            yield value + 1


def test_the_smallest_manifest_of_phases_is_valid() -> None:
    result = review(f"{HEAD}phases:\n- {{phase_id: first, objective: look}}\n".encode())

    assert result.errors == ()
    assert result.plan is not None
    assert [node.id for node in result.plan.nodes] == ["first"]


def test_the_smallest_manifest_of_nodes_is_valid() -> None:
    result = review(f"{HEAD}nodes:\n- {{id: first, type: function, function: look}}\n".encode())

    assert result.errors == ()
    assert result.plan is not None
    assert [node.id for node in result.plan.nodes] == ["first"]


def test_the_digest_is_that_of_the_canonical_json() -> None:
    canonical = '{"objective":"o","playbook_id":"p","title":"t","version":"1"}'

    result = review(HEAD.encode())

    assert result.digest == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        '{"version": "1", "title": "t", "objective": "o", "playbook_id": "p"}',
        '{\n  "playbook_id": "p",\n  "version": "\\u0031",\n  "title": "t",\n  "objective": "o"\n}\n',
        "# reviewed by two\nobjective: o # short\ntitle: t\nversion: '1'\nplaybook_id: p\n",
        '---\nplaybook_id: p\nversion: "1"\ntitle: |-\n  t\nobjective: >-\n  o\n...\n',
        "{playbook_id: p, version: &one '1', title: t, objective: o}",
        "\ufeff" + HEAD,
        HEAD.replace("\n", "\r\n"),
    ],
    ids=["json", "json with other spaces", "comments and order", "block texts", "flow and anchor", "mark", "line ends"],
)
def test_form_order_and_comments_do_not_change_the_digest(text: str) -> None:
    assert review(text.encode()).digest == review(HEAD.encode()).digest


def test_every_value_changes_the_digest() -> None:
    changed = [digest(variation) for variation in variations(WHOLE)]

    assert len(changed) > 50
    assert len({digest(WHOLE), *changed}) == len(changed) + 1


def test_a_default_that_is_written_out_is_part_of_the_digest() -> None:
    assert digest({**WHOLE, "description": ""}) != digest(WHOLE)


def test_a_whole_number_is_the_same_number_however_it_is_written() -> None:
    assert (
        review(f"{HEAD}metadata: {{n: 1000}}".encode()).digest == review(f"{HEAD}metadata: {{n: 1e3}}".encode()).digest
    )


@pytest.mark.parametrize(
    "word",
    [
        "on",
        "off",
        "yes",
        "no",
        "y",
        "n",
        "On",
        "NO",
        "1:30",
        "12:30:45",
        "0.1.2",
        "1.0.0",
        "1_000",
        "0x_1F",
        "1_0.5",
        "2026-01-31",
        "2026-01-31T10:00:00Z",
        "NaN",
        "Infinity",
        "0b11",
        "1e",
        ".e1",
    ],
)
def test_words_that_older_yaml_took_for_something_else_are_text(word: str) -> None:
    assert read_metadata(f"{{word: {word}}}") == {"word": word}


@pytest.mark.parametrize(
    ("word", "value"),
    [("true", True), ("false", False), ("null", None), ("~", None), ("12", 12), ("-3", -3), ("2.5", 2.5), ("1e3", 1000),
     ("012", 12), ("0o17", 15), ("0x1F", 31), ("+.5", 0.5), ("1.", 1), ("NULL", None), ("True", True),
     ("''", ""), ("'12'", "12"), ('"\\u00e9"', "é"), ("'on'", "on")],
)  # fmt: skip
def test_plain_words_have_the_values_of_yaml_1_2(word: str, value: Any) -> None:
    assert read_metadata(f"{{word: {word}}}") == {"word": value}


def test_json_and_yaml_read_every_character_alike() -> None:
    escaped = json.dumps({**HEAD_VALUES, "title": "😀"})

    assert "\\ud83d" in escaped
    assert review(escaped.encode()).digest == review(HEAD.replace("title: t", "title: 😀").encode()).digest


def test_a_part_that_is_repeated_is_read_wherever_it_stands() -> None:
    assert read_metadata("{a: &a [1, {b: &b c}], again: [*a, *b]}") == {
        "a": [1, {"b": "c"}],
        "again": [[1, {"b": "c"}], "c"],
    }


@pytest.mark.parametrize("text", ["[{}]", "{{a: &a [{}], b: *a}}"], ids=["written out", "repeated"])
def test_a_document_may_have_so_many_values_and_no_more(text: str) -> None:
    half = ", ".join(["1"] * (MAX_VALUES // 2))
    whole = half if "*a" in text else f"{half}, {half}"

    assert refusal(f"{HEAD}metadata: {text.format(whole)}\n") == ("", "TOO_LARGE")
    assert refusal(json.dumps({"metadata": [1] * MAX_VALUES})) == ("", "TOO_LARGE")


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        (b"\xff\xfe\x00", "", "DOCUMENT_UNREADABLE"),
        (b"", "", "DOCUMENT_UNREADABLE"),
        (b"[1, 2]", "", "DOCUMENT_UNREADABLE"),
        (b"just words", "", "DOCUMENT_UNREADABLE"),
        (b"a: [1", "", "DOCUMENT_UNREADABLE"),
        (b"a: 1\n---\nb: 2\n", "", "DOCUMENT_UNREADABLE"),
        (b"a: \x00", "", "DOCUMENT_UNREADABLE"),
        (b"a: !!python/object/apply:os.system ['id']", "a", "NOT_JSON"),
        (b"a: !secret x", "a", "NOT_JSON"),
        (b"b: &b {c: 1}\na: {<<: *b}", "a", "NOT_JSON"),
        (b"&a {b: *a}", "", "DOCUMENT_UNREADABLE"),
        (b"%YAML 1.1\n---\na: on\n", "", "DOCUMENT_UNREADABLE"),
        (b"a: *nobody", "", "DOCUMENT_UNREADABLE"),
        (b"a: 1\na: 2\n", "a", "KEY_DUPLICATE"),
        (b'{"a": {"b": 1, "b": 1}}', "a.b", "KEY_DUPLICATE"),
        (b"a: [{1: x}]", "a[0]", "KEY_NOT_TEXT"),
        (b"true: x", "", "KEY_NOT_TEXT"),
        (b"~: x", "", "KEY_NOT_TEXT"),
        (b"a: !!binary aGVsbG8=", "a", "NOT_JSON"),
        (b"a: !!set {x, y}", "a", "NOT_JSON"),
        (b"a: .nan", "a", "NOT_CANONICAL"),
        (b"a: -.inf", "a", "NOT_CANONICAL"),
        (b"a: 1e400", "a", "NOT_CANONICAL"),
        (b"a: 9007199254740993", "a", "NOT_CANONICAL"),
        (b'{"a": [-9007199254740993]}', "a[0]", "NOT_CANONICAL"),
        (b"a: " + b"9" * 5000, "a", "NOT_CANONICAL"),
        (b'{"a": "\\ud800"}', "a", "NOT_CANONICAL"),
        (b'{"a": {"\\ud800": 1}}', "a", "NOT_CANONICAL"),
    ],
)
def test_what_cannot_be_read_is_one_diagnostic(text: bytes, place: str, code: str) -> None:
    assert refusal(text) == (place, code)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("9" * 6000, "a whole number is beyond 2^53; write it as text"),
        (f"-{'9' * 6000}", "a whole number is beyond 2^53; write it as text"),
        ("1e400", "a number is infinite, beyond 1.8e308, or none at all; write it as text"),
    ],
    ids=["long", "long below zero", "infinite"],
)
@pytest.mark.parametrize("text", ["metadata: {a: NUMBER}", '"metadata": {"a": NUMBER}'], ids=["YAML", "JSON"])
def test_a_number_that_is_none_everywhere_is_told_in_words_that_fit(text: str, number: str, said: str) -> None:
    (fault,) = review(f"{HEAD}{text.replace('NUMBER', number)}\n".encode()).errors

    assert (fault.path, fault.reason) == ("metadata.a", said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("inputs: false", "it must be an object, which is a JSON Schema, or a list of names"),
        ("tools: 5", "it must be an object"),
        ("metadata: []", "it must be an object"),
        ("phases: first", "it must be a list"),
    ],
)
def test_a_value_of_another_kind_is_told_in_words_of_documents(text: str, said: str) -> None:
    assert [fault.reason for fault in review(f"{HEAD}{text}\n".encode()).errors] == [said]


def test_the_largest_number_that_every_reader_agrees_on_is_read() -> None:
    assert read_metadata("{n: 9007199254740991}") == {"n": 2**53 - 1}


def test_a_document_over_the_limit_is_not_even_looked_at() -> None:
    assert refusal(b"x" * (MAX_BYTES + 1)) == ("", "TOO_LARGE")


@pytest.mark.parametrize(("opening", "closing", "step"), [("[", "]", "[0]"), ('{"k":', "}", ".k")])
def test_a_value_may_be_nested_so_deep_and_no_deeper(opening: str, closing: str, step: str) -> None:
    def nested(levels: int) -> str:
        return f'{{"playbook_id": "p", "metadata": {{"k": {opening * levels}1{closing * levels}}}}}'

    fits, goes_too_far = review(nested(MAX_DEPTH - 2).encode()), nested(MAX_DEPTH - 1)

    assert "TOO_DEEP" not in {fault.code for fault in fits.errors}
    assert refusal(goes_too_far) == ("metadata.k" + step * (MAX_DEPTH - 1), "TOO_DEEP")


def test_the_place_of_a_syntax_error_is_told() -> None:
    (fault,) = review(b"a: 1\nb: [\n").errors

    assert "line 3" in fault.reason
