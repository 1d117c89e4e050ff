"""A server checks what callers send in the loop that serves everybody, and so no more than it has time for."""

import json

import pytest

from perdure.schemas.check import SchemaCheck
from perdure_control_plane.domain.errors import FieldInvalid
from perdure_control_plane.usecases.json_objects import check_schema

NAMES = {"type": "object", "properties": {"names": {"items": {"pattern": "^[a-z]{1,90}$"}}}}


def test_a_check_that_would_keep_others_waiting_is_refused_though_an_executor_makes_it() -> None:
    value = {"names": ["abcdefghij"] * 20_000}

    with pytest.raises(FieldInvalid, match="10000000 are the most"):
        check_schema(json.dumps(NAMES).encode(), value, "request.input")

    assert SchemaCheck(NAMES).fault(value) == ""


def test_a_megabyte_as_people_write_it_is_checked() -> None:
    value = {"names": ["a" * 1000] * 100, "rows": [{"id": n, "name": "x", "tags": ["a"]} for n in range(20_000)]}
    row = {"properties": {"id": {"type": "integer"}, "name": {"maxLength": 9}, "tags": {"items": {"enum": ["a", "b"]}}}}

    check_schema(json.dumps({"properties": {"rows": {"items": row}}}).encode(), value, "request.input")
