"""A server checks what callers send in the loop that serves everybody, and so no more than it has time for."""

import json

import pytest

from perdure.schemas.check import SchemaCheck
from perdure_control_plane.domain.errors import FieldInvalid
from perdure_control_plane.usecases.json_objects import check_schema, json_object

NAMES = {"type": "object", "properties": {"names": {"items": {"pattern": "^[a-z]{1,90}$"}}}}


def test_a_check_that_would_keep_others_waiting_is_refused_though_an_executor_makes_it() -> None:
    value = {"names": ["abcdefghij"] * 20_000}

    with pytest.raises(FieldInvalid, match="10000000 are the most"):
        check_schema(json.dumps(NAMES).encode(), value, "request.input")

    assert SchemaCheck(NAMES).fault(value) == ""


@pytest.mark.parametrize("levels", [129, 970, 100_000])
def test_a_value_that_is_nested_too_deep_is_a_fault_of_its_field(levels: int) -> None:
    with pytest.raises(FieldInvalid) as refused:
        json_object(nested(levels), "payload")

    (fault,) = refused.value.faults
    assert (fault.field, fault.description) == ("payload", "is nested more than 128 levels deep")


def test_a_value_may_have_as_many_levels_as_a_schema_looks_at() -> None:
    value = json_object(nested(128), "payload")

    assert SchemaCheck(True).fault(value) == ""


def nested(levels: int) -> bytes:
    """An object of so many levels, of which the last is a number."""
    lists = levels - 2
    return b'{"a":' + b"[" * lists + b"1" + b"]" * lists + b"}"


def test_a_megabyte_as_people_write_it_is_checked() -> None:
    value = {"names": ["a" * 1000] * 100, "rows": [{"id": n, "name": "x", "tags": ["a"]} for n in range(20_000)]}
    row = {"properties": {"id": {"type": "integer"}, "name": {"maxLength": 9}, "tags": {"items": {"enum": ["a", "b"]}}}}

    check_schema(json.dumps({"properties": {"rows": {"items": row}}}).encode(), value, "request.input")
