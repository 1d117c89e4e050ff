"""Answers of models: checked against the node's schema, bounded in number, and never silent about why they failed."""

from typing import Any

import pytest
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from perdure.v1 import instances_pb2
from perdure_executor.agents.agent_loop import ANSWER_RETRIES, LIMITS, converse
from perdure_executor.agents.brief import Brief
from perdure_executor.agents.workspace import Workspace
from perdure_executor.providers import Provider
from perdure_executor.redaction import Redaction
from perdure_executor.results import Failed, Succeeded
from perdure_executor.untrusted_schema import UntrustedSchema

SCHEMA = {"type": "object", "properties": {"score": {"type": "integer", "maximum": 9}}, "required": ["score"]}


class Model:
    """Gives prepared answers, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.asked = 0

    async def reply(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, ToolCallPart):
            return ModelResponse(parts=[answer])
        if info.output_tools:
            return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)])
        return ModelResponse(parts=[TextPart(answer)])

    async def do(self, log: Any, schema: dict[str, Any] | None = None, **fields: Any) -> Any:
        given: dict[str, Any] = {"tools": (), "workspace": None, "provider": Provider("openai", "sk-secret")}
        redaction = Redaction()
        redaction.add("sk-secret")
        given["redacted"] = redaction.text
        brief = Brief("run", "a", "worker", "Go.", model="m", output_schema=schema, **(given | fields))
        return await converse(brief, log.journal(), FunctionModel(self.reply, model_name="m"))


async def test_an_answer_that_fits_its_schema_is_the_output(log: Any) -> None:
    assert await Model({"score": 3}).do(log, SCHEMA) == Succeeded({"score": 3})


async def test_a_model_is_told_what_is_wrong_and_may_answer_again(log: Any) -> None:
    model = Model({"score": 12}, {"score": 9})

    assert await model.do(log, SCHEMA) == Succeeded({"score": 9})
    assert log.kept == ["model.request#0", "model.request#1"]


async def test_a_model_that_never_fits_the_schema_fails_the_attempt_and_its_answer_is_not_repeated(log: Any) -> None:
    model = Model({"score": 1234})

    failed = await model.do(log, SCHEMA)

    assert failed.cause == instances_pb2.FAILURE_CAUSE_AGENT
    assert failed.message == "its answer does not fit the output schema: $.score does not satisfy maximum: 9"
    assert model.asked == ANSWER_RETRIES + 1


async def test_a_loop_that_does_not_end_is_ended(log: Any, tree: Any) -> None:
    endless = Model(ToolCallPart("list_files", {}))

    failed = await endless.do(log, tools=("list_files",), workspace=Workspace(str(tree({}))))

    assert isinstance(failed, Failed)
    assert failed.cause == instances_pb2.FAILURE_CAUSE_AGENT
    assert endless.asked == LIMITS.request_limit


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, {"message": "overloaded"}, "openai answered 500 for the model 'm': overloaded"),
        (404, {"error": {"message": "no such model"}}, "openai answered 404 for the model 'm': no such model"),
        (400, None, "openai answered 400 for the model 'm': it did not say why"),
        (400, {"message": "key sk-secret is odd"}, "openai answered 400 for the model 'm': key [redacted] is odd"),
    ],
)
async def test_a_provider_that_answers_with_an_error_fails_the_attempt_in_one_line_without_the_key(
    log: Any, status: int, body: object, message: str
) -> None:
    failed = await Model(ModelHTTPError(status, "m", body)).do(log)

    assert failed == Failed(instances_pb2.FAILURE_CAUSE_AGENT, message)
    assert log.kept == []


async def test_a_recorded_unit_that_cannot_be_read_fails_the_attempt(log: Any) -> None:
    log.units["model.request#0"] = b'{"parts": 7}'

    failed = await Model("x").do(log)

    assert failed.cause == instances_pb2.FAILURE_CAUSE_AGENT
    assert "cannot be read" in failed.message


async def test_a_unit_over_the_payload_limit_fails_the_attempt_with_that_cause(
    agents_in: Any, log: Any, tree: Any
) -> None:
    root = tree({f"{number}.txt": "" for number in range(100)})

    failed = await agents_in(root).do(log, equipment={"max_payload_bytes": 2048})

    assert failed.cause == instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE
    assert "call_tool:list_files#0" in failed.message
    assert log.kept == ["model.request#0"]


def test_a_schema_that_refers_elsewhere_fetches_nothing() -> None:
    check = UntrustedSchema({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}})

    assert check.fault({"a": 1}) == (
        "its schema cannot be used: it refers to 'http://127.0.0.1:9/schema', which it does not hold; "
        "a schema refers to nothing outside itself"
    )
