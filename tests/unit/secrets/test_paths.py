"""Paths to fields that hold secrets."""

from typing import Any

import pytest

from perdure.secrets.paths import MAX_KEYS, PathInvalid, fields, path, reads_alone, replaced, unreferenced

VALUE = {"token": "a", "rows": [{"key": "b", "name": "x"}, {"key": "c"}, 5], "db": {"password": "d"}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("token", ["a"]),
        ("db.password", ["d"]),
        ("db", [{"password": "d"}]),
        ("rows.*.key", ["b", "c"]),
        ("rows.1.key", ["c"]),
        ("*.password", ["d"]),
        ("token.inside", []),
        ("nothing", []),
    ],
)
def test_a_path_leads_to_fields(text: str, found: list[Any]) -> None:
    assert [value for _, value in fields(VALUE, path(text))] == found


def test_what_a_path_leads_to_is_replaced_and_the_value_itself_stays_as_it_is() -> None:
    assert replaced(VALUE, path("rows.*.key"), lambda found: found.upper())["rows"] == [
        {"key": "B", "name": "x"},
        {"key": "C"},
        5,
    ]
    assert replaced(VALUE, path("no.such"), str) == VALUE
    assert VALUE["rows"][0]["key"] == "b"  # type: ignore[index]  # the list of the value above


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a*", "a.b*.c", ".".join("a" * (MAX_KEYS + 1))])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(PathInvalid):
        path(text)


@pytest.mark.parametrize(
    ("template", "alone"),
    [
        ("{{ inputs.token }}", True),
        ("{{inputs.token}}", True),
        ("{{ inputs.rows.x.key }}", True),
        ("{{ token }}", False),
        ("Bearer {{ inputs.token }}", False),
        ("{{ inputs.token }} ", False),
        ("{{ inputs.tokens }}", False),
        ("{{ inputs.token.inside }}", False),
        ("{{ inputs }}", False),
        ("{{ string(inputs.token) }}", False),
        ("{{ nodes.a.token }}", False),
    ],
)
def test_only_a_field_that_is_declared_secret_and_nothing_beside_it_is_read_alone(template: str, alone: bool) -> None:
    assert reads_alone(template, [path("token"), path("rows.*.key")]) is alone


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ({"token": "secret://env/TOKEN"}, []),
        ({"token": None}, []),
        ({}, []),
        ({"token": "hunter22"}, [("token",)]),
        ({"token": 5}, [("token",)]),
        ({"token": ["secret://env/TOKEN"]}, [("token",)]),
        ({"token": "secret://hunter22"}, [("token",)]),
        ({"rows": [{"key": "secret://env/A"}, {"key": "hunter22"}]}, [("rows", "1", "key")]),
    ],
)
def test_a_secret_input_is_a_reference_and_nothing_else(value: Any, places: list[Any]) -> None:
    found = list(unreferenced(value, [path("token"), path("rows.*.key")]))

    assert [place for place, _ in found] == places
    assert "hunter22" not in str(found)
