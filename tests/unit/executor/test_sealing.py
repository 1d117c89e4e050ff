"""An executor with a key opens what it reads, for one node's work alone, and encrypts what that leaves."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from perdure.encryption.codec import Codec, new_key_id
from perdure.runlog.plans import WalkPlan
from perdure.secrets.encrypted import is_encrypted
from perdure.v1 import instances_pb2, plans_pb2
from perdure_executor.node_context import NodeFailure
from tests.unit.executor.walked import Walked

KEY = bytes(range(32))
CODEC = Codec({new_key_id(KEY): KEY}, new_key_id(KEY), "FILE")
SCHEMA = b'{"properties": {"name": {"type": "string"}}}'


@pytest.fixture
def walk(plans: Any) -> Callable[..., Walked]:
    """Walks one function node that is given the run's input and its secret."""

    def begin(function: Any, given: dict[str, Any], codec: Codec = CODEC) -> Walked:
        node = plans.node(
            "a",
            function=plans_pb2.FunctionNode(function="a"),
            inputs=b'{"seen": "{{ inputs }}", "token": "{{ inputs.token }}"}',
            secrets=[plans_pb2.FieldPath(keys=("inputs", "token"))],
        )
        sensitive = [plans_pb2.FieldPath(keys=("token",)), plans_pb2.FieldPath(keys=("db", "password"))]
        plan = plans_pb2.Plan(nodes=[node], input_schema=SCHEMA, sensitive_inputs=sensitive)
        return Walked(WalkPlan(plan), {"a": function}, codec=codec, given=json.dumps(given).encode())

    return begin


def of_kind(walked: Walked, kind: str) -> list[Any]:
    return [getattr(one.event, kind) for one in walked.log if one.event.WhichOneof("kind") == kind]


async def test_what_a_node_is_given_is_opened_for_it_and_what_it_leaves_is_encrypted(
    walk: Callable[..., Walked],
) -> None:
    seen: list[Any] = []

    async def a(call: Any) -> Any:
        seen.append(call.inputs)
        call.log("a line")
        return {"said": "hello", "none": None}

    given = CODEC.sealed_fields({"name": "Ada", "token": "open-sesame"})
    walked = walk(a, given)
    await walked.settle()

    assert seen == [{"seen": {"name": "Ada", "token": given["token"]}, "token": "open-sesame"}]
    output = json.loads(of_kind(walked, "node_output")[0].json)
    assert output["none"] is None
    assert is_encrypted(output["said"])
    assert CODEC.opened(output) == {"said": "hello", "none": None}
    assert CODEC.open_text(of_kind(walked, "log_line")[0].text) == "a line"
    assert all(is_encrypted(one) for one in json.loads(of_kind(walked, "rendered_arguments")[0].json).values())
    assert walked.violations() == []


async def test_a_message_that_may_repeat_what_was_given_is_encrypted_and_fits(walk: Callable[..., Walked]) -> None:
    async def a(call: Any) -> Any:
        raise NodeFailure("no " + "x" * 2000)

    walked = walk(a, CODEC.sealed_fields({"name": "Ada", "token": "open-sesame"}))
    await walked.settle()

    message = of_kind(walked, "run_ended")[0].message
    assert len(message) <= 1024
    assert CODEC.open_text(message).startswith("no xxx")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": 5, "token": "open-sesame"}, "the run's input is not what its playbook takes"),
        (
            {"name": "Ada", "token": "open-sesame", "db": {"password": "hunter22"}},
            "db.password is declared to be secret",
        ),
    ],
)
async def test_an_encrypted_input_that_is_not_right_fails_before_anything_begins(
    walk: Callable[..., Walked], given: dict[str, Any], said: str
) -> None:
    async def a(call: Any) -> Any:
        pytest.fail("it has begun")

    walked = walk(a, CODEC.sealed_fields(given))
    await walked.settle()

    ended = of_kind(walked, "run_ended")[0]
    assert ended.cause == instances_pb2.FAILURE_CAUSE_INPUT_INVALID
    assert said in ended.message
    assert "hunter22" not in ended.message


async def test_without_the_key_a_node_fails_and_names_it(walk: Callable[..., Walked]) -> None:
    async def a(call: Any) -> Any:
        pytest.fail("it has begun")

    walked = walk(a, CODEC.sealed_fields({"name": "Ada", "token": "open-sesame"}), Codec(where="FILE"))
    await walked.settle()

    ended = of_kind(walked, "run_ended")[0]
    assert ended.cause == instances_pb2.FAILURE_CAUSE_CANNOT_DECRYPT
    assert new_key_id(KEY) in ended.message
