"""Units: named, recorded once, and given back in the order they were asked for."""

import json
from typing import Any

import pytest

from perdure.v1 import instances_pb2
from perdure_executor.agents.journal import UnitUnusable


async def one() -> object:
    return {"answer": 1, "list": [1, 2]}


async def unreachable() -> object:
    raise AssertionError("a recorded unit is not done again")


async def test_units_are_numbered_within_their_kind_and_recorded_in_order(log: Any) -> None:
    journal = log.journal()

    for kind in ("model.request", "call_tool:read_file", "call_tool:read_file", "model.request"):
        await journal.unit(kind, one)

    assert log.kept == ["model.request#0", "call_tool:read_file#0", "call_tool:read_file#1", "model.request#1"]
    assert log.units["model.request#0"] == b'{"answer":1,"list":[1,2]}'


async def test_a_recorded_unit_is_given_back_without_being_done(log: Any) -> None:
    first = await log.journal().unit("model.request", one)
    next_holder = log.taken_over()

    again = await next_holder.journal().unit("model.request", unreachable)

    assert again == first
    assert next_holder.kept == []


async def test_a_unit_goes_on_as_it_is_recorded(log: Any) -> None:
    async def pair() -> object:
        return {"pair": (1, 2)}

    assert await log.journal().unit("model.request", pair) == {"pair": [1, 2]}


async def test_an_agent_that_asks_for_something_else_than_the_log_has_fails(log: Any) -> None:
    await log.journal().unit("call_tool:list_files", one)

    with pytest.raises(UnitUnusable) as unusable:
        await log.taken_over().journal().unit("call_tool:read_file", unreachable)

    assert unusable.value.failure.cause == instances_pb2.FAILURE_CAUSE_AGENT
    assert "call_tool:list_files#0" in unusable.value.failure.message


async def test_a_unit_over_the_payload_limit_fails_and_is_not_recorded(log: Any) -> None:
    with pytest.raises(UnitUnusable) as unusable:
        await log.journal(max_bytes=10).unit("model.request", one)

    assert unusable.value.failure.cause == instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE
    assert unusable.value.failure.message == "the unit model.request#0 has 25 bytes; the limit is 10"
    assert log.kept == []


async def test_a_unit_that_is_nested_too_deep_fails_and_is_not_recorded(log: Any) -> None:
    async def deep() -> object:
        return json.loads("[" * 128 + "1" + "]" * 128)

    with pytest.raises(UnitUnusable) as unusable:
        await log.journal().unit("model.request", deep)

    assert unusable.value.failure.cause == instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE
    assert unusable.value.failure.message == "the unit model.request#0 is nested more than 128 levels deep"
    assert log.kept == []


@pytest.mark.parametrize("content", [float("nan"), "\ud800"])
async def test_a_unit_without_a_json_form_fails(log: Any, content: object) -> None:
    async def unfit() -> object:
        return content

    with pytest.raises(UnitUnusable) as unusable:
        await log.journal().unit("model.request", unfit)

    assert unusable.value.failure.cause == instances_pb2.FAILURE_CAUSE_NOT_CANONICAL
