"""The built-in model itself: what it does next, given what it has found."""

from collections.abc import Callable
from typing import Any, Final

from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from perdure_executor.agents.offline.answer import shaped_answer
from perdure_executor.agents.offline.choices import files_that_matter, text_to_search
from perdure_executor.agents.offline.findings import Findings
from perdure_executor.agents.offline.report import report
from perdure_executor.providers import OFFLINE
from perdure_executor.untrusted_schema import UntrustedSchema


def offline_model() -> FunctionModel:
    """A model that answers from its tools' findings alone."""
    return FunctionModel(think, model_name=OFFLINE)


async def think(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """One reply: the next look round, or what all of them have brought to light."""
    findings = Findings.of(messages)
    offered = {tool.name for tool in info.function_tools}
    for tool, arguments in _LOOKS:
        if tool in offered and tool not in findings.called:
            calls = [
                ToolCallPart(tool, given, tool_call_id=f"{tool}-{i}") for i, given in enumerate(arguments(findings))
            ]
            if calls:
                return ModelResponse(parts=calls)
    if info.output_tools:
        return ModelResponse(parts=[_answer(findings, info)])
    return ModelResponse(parts=[TextPart(report(findings))])


def _listed(findings: Findings) -> list[dict[str, Any]]:
    return [{}]


def _read(findings: Findings) -> list[dict[str, Any]]:
    return [{"path": path} for path in files_that_matter(findings)]


def _searched(findings: Findings) -> list[dict[str, Any]]:
    return [{"text": text_to_search(findings.prompt)}]


_LOOKS: Final[tuple[tuple[str, Callable[[Findings], list[dict[str, Any]]]], ...]] = (
    ("list_files", _listed),
    ("read_file", _read),
    ("search_files", _searched),
)
"""Each look, in order, and what it asks for; a look that asks for nothing is passed over."""


def _answer(findings: Findings, info: AgentInfo) -> ToolCallPart:
    tool = info.output_tools[0]
    answer = shaped_answer(tool.parameters_json_schema, findings)
    fault = UntrustedSchema(tool.parameters_json_schema).fault(answer)
    if fault:
        raise UnexpectedModelBehavior(f"the built-in model has no answer of the shape that is asked for: {fault}")
    return ToolCallPart(tool.name, answer, tool_call_id="answer")
