"""A program error while a node is made ready, or settled, is that node's alone: no run looks lost for it."""

import asyncio
from typing import Any

import pytest

from perdure.v1 import instances_pb2, plans_pb2
from tests.unit.executor.walked import Walked, done

NONE, AT_MOST_ONCE = instances_pb2.EFFECT_NONE, instances_pb2.EFFECT_AT_MOST_ONCE
SAID = "AssertionError in the executor, whose log has the rest"


def broken(*arguments: Any) -> Any:
    raise AssertionError("this cannot be, with a password")


@pytest.fixture
def walk(plans: Any) -> Any:
    """Walks one function node."""

    def begin(function: Any, **fields: Any) -> Walked:
        node = plans.node("a", function=plans_pb2.FunctionNode(function="a"), **fields)
        return Walked(plans.line(node), {"a": function})

    return begin


@pytest.mark.parametrize("effect", [NONE, AT_MOST_ONCE])
async def test_a_node_that_cannot_be_made_ready_has_failed_and_is_in_no_doubt(
    walk: Any, monkeypatch: pytest.MonkeyPatch, effect: Any
) -> None:
    monkeypatch.setattr("perdure_executor.readiness.prepare", broken)

    walked = walk(done, effect=effect)
    await walked.settle()

    ended = walked.log[-1].event.run_ended
    assert walked.kinds() == ["node_started", "node_settled", "run_ended"]
    assert (ended.cause, ended.message) == (instances_pb2.FAILURE_CAUSE_INTERNAL, SAID)
    assert walked.called == []
    assert walked.violations() == []


async def test_arguments_that_cannot_be_told_fail_their_node(walk: Any) -> None:
    walked = walk(done, inputs=b'{"text": "\\ud800"}')

    await walked.settle()

    assert walked.kinds() == ["node_started", "node_settled", "run_ended"]
    assert walked.log[-1].event.run_ended.cause == instances_pb2.FAILURE_CAUSE_INTERNAL
    assert walked.called == []


async def test_work_whose_outcome_cannot_be_told_has_failed(walk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure_executor.settlements.bounded_json", broken)

    walked = walk(_gives)
    await walked.settle()

    ended = walked.log[-1].event.run_ended
    assert (ended.cause, ended.message) == (instances_pb2.FAILURE_CAUSE_INTERNAL, SAID)
    assert walked.violations() == []


async def test_an_effect_whose_outcome_cannot_be_told_is_in_doubt(walk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure_executor.settlements.bounded_json", broken)

    walked = walk(_gives, effect=AT_MOST_ONCE)
    await walked.settle()

    doubt = walked.log[3].event.node_in_doubt
    assert (doubt.cause, doubt.message) == (instances_pb2.FAILURE_CAUSE_INTERNAL, SAID)
    assert walked.kinds()[-1] == "run_paused"
    assert walked.violations() == []


@pytest.mark.parametrize(("levels", "cause"), [(128, ""), (129, "PAYLOAD_TOO_LARGE"), (970, "PAYLOAD_TOO_LARGE"),
                                               (50_000, "PAYLOAD_TOO_LARGE")])  # fmt: skip
async def test_an_output_that_is_nested_too_deep_fails_its_node_and_names_the_limit(
    walk: Any, levels: int, cause: str
) -> None:
    async def gives(call: Any) -> Any:
        return nested(levels)

    walked = walk(gives)
    await walked.settle()

    ended = walked.log[-1].event.run_ended
    named = instances_pb2.FailureCause.Name(ended.cause).removeprefix("FAILURE_CAUSE_") if ended.cause else ""
    assert (named, ended.message) == (cause, "its output is nested more than 128 levels deep" if cause else "")
    assert walked.violations() == []


async def test_a_node_reads_an_output_that_is_as_deep_as_it_may_be(plans: Any) -> None:
    read: list[Any] = []

    async def gives(call: Any) -> Any:
        return nested(128)

    async def reads(call: Any) -> None:
        read.append(call.inputs["all"])

    nodes = [
        plans.node("a", function=plans_pb2.FunctionNode(function="a")),
        plans.node("b", function=plans_pb2.FunctionNode(function="b"), inputs=b'{"all": "{{ nodes.a }}"}'),
    ]
    walked = Walked(plans.line(*nodes), {"a": gives, "b": reads})
    await walked.settle()

    assert read == [nested(128)]


def nested(levels: int) -> Any:
    """An object of so many levels, of which the last is a number."""
    value: Any = 1
    for _ in range(levels - 1):
        value = {"a": value}
    return value


async def _gives(call: Any) -> Any:
    await asyncio.sleep(0)
    return {"a": 1}
