"""What a function gives, says and raises goes into the log without what is secret."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from perdure.v1 import instances_pb2, plans_pb2
from perdure_executor.node_context import NodeFailure
from perdure_executor.redaction import MARK
from perdure_executor.secret_sources import SecretSources
from tests.unit.executor.walked import Walked

VALUE = "open-sesame"


@pytest.fixture
def walk(plans: Any) -> Callable[..., Walked]:
    """Walks function nodes, `a` and then `b`, that are given one secret each."""

    def begin(sensitive: tuple[str, ...] = (), **functions: Any) -> Walked:
        nodes = [
            plans.node(
                name,
                function=plans_pb2.FunctionNode(function=name),
                inputs=json.dumps({"t": "secret://env/TOKEN", "seen": "{{ nodes }}"}).encode(),
                secrets=[plans_pb2.FieldPath(keys=("inputs", "t"))],
                sensitive=[plans_pb2.FieldPath(keys=text.split(".")) for text in sensitive],
            )
            for name in functions
        ]
        return Walked(plans.line(*nodes), functions, SecretSources({"TOKEN": VALUE}))

    return begin


def bytes_of(walked: Walked) -> bytes:
    return b"".join(recorded.event.SerializeToString() for recorded in walked.log)


def of_kind(walked: Walked, kind: str) -> list[Any]:
    return [getattr(one.event, kind) for one in walked.log if one.event.WhichOneof("kind") == kind]


async def test_what_it_gives_is_redacted_for_the_log_and_for_later_nodes(walk: Callable[..., Walked]) -> None:
    seen: list[Any] = []

    async def a(call: Any) -> Any:
        assert call.inputs["t"] == VALUE
        return {"said": f"it is {VALUE}", VALUE: [VALUE]}

    async def b(call: Any) -> None:
        seen.append(call.inputs["seen"])

    walked = walk(a=a, b=b)
    await walked.settle()

    assert seen == [{"a": {"said": f"it is {MARK}", MARK: [MARK]}}]
    assert VALUE.encode() not in bytes_of(walked)
    assert walked.violations() == []


async def test_what_it_writes_is_redacted_before_it_is_cut(walk: Callable[..., Walked]) -> None:
    async def a(call: Any) -> None:
        call.log(f"it is {VALUE}")
        call.log("x" * (4096 - 4) + VALUE)

    walked = walk(a=a)
    await walked.settle()

    assert [one.text for one in of_kind(walked, "log_line")] == [f"it is {MARK}", "x" * 4092 + MARK[:4]]


@pytest.mark.parametrize(
    "error", [NodeFailure("x" * 1020 + VALUE), NodeFailure(f"it is\n{VALUE}"), ValueError(f"it is {VALUE}")]
)
async def test_what_it_raises_is_redacted_before_it_is_cut(walk: Callable[..., Walked], error: Exception) -> None:
    async def a(call: Any) -> None:
        raise error

    walked = walk(a=a)
    await walked.settle()

    assert of_kind(walked, "run_ended")[0].cause == instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED
    assert VALUE[:4].encode() not in bytes_of(walked)


async def test_a_sensitive_field_is_left_out_and_what_was_in_it_is_known_from_then_on(
    walk: Callable[..., Walked],
) -> None:
    async def a(call: Any) -> Any:
        return {"token": "made-by-a", "rows": [{"pin": 4711}, {"pin": 42}], "again": "<made-by-a>"}

    async def b(call: Any) -> Any:
        call.log("made-by-a")

    walked = walk(("token", "rows.*.pin"), a=a, b=b)
    await walked.settle()

    (output,) = of_kind(walked, "node_output")
    assert json.loads(output.json) == {"token": MARK, "rows": [{"pin": MARK}, {"pin": MARK}], "again": f"<{MARK}>"}
    assert [one.text for one in of_kind(walked, "log_line")] == [MARK]


async def test_what_a_function_hides_is_secret_from_then_on(walk: Callable[..., Walked]) -> None:
    async def a(call: Any) -> Any:
        call.hide("made-by-a")
        return {"token": "made-by-a"}

    walked = walk(a=a)
    await walked.settle()

    assert json.loads(of_kind(walked, "node_output")[0].json) == {"token": MARK}


async def test_what_is_too_short_cannot_be_hidden_and_the_function_hears_of_it(walk: Callable[..., Walked]) -> None:
    async def a(call: Any) -> Any:
        with pytest.raises(ValueError, match="fewer than"):
            call.hide("4711")

    walked = walk(a=a)
    await walked.settle()

    assert of_kind(walked, "node_settled")[0].outcome == instances_pb2.OUTCOME_SUCCEEDED
