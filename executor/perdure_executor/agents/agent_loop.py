"""An agent's way from its brief to its answer: pydantic-ai's loop, with every unit of it in the run's log."""

from typing import Any, Final

from pydantic import ValidationError
from pydantic_ai import Agent, ModelRetry, StructuredDict, UsageLimits
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAuthenticationError,
    ModelHTTPError,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_ai.models import Model
from pydantic_ai.run import AgentRunResult

from perdure.runlog.json_objects import JsonObject
from perdure.v1 import instances_pb2
from perdure_executor.agents.brief import Brief
from perdure_executor.agents.durability import RunLogDurability
from perdure_executor.agents.journal import UnitJournal, UnitUnusable
from perdure_executor.agents.models import model_for
from perdure_executor.agents.toolset import people_toolset, workspace_toolset
from perdure_executor.node_context import line
from perdure_executor.providers import KEYS
from perdure_executor.results import Failed, Result, Succeeded
from perdure_executor.untrusted_schema import UntrustedSchema

LIMITS: Final = UsageLimits(request_limit=50, tool_calls_limit=200)
"""What one attempt may ask for before it fails."""

ANSWER_RETRIES: Final = 2
"""Times a model is told that its answer has the wrong shape, or its tool call the wrong arguments."""


async def run_agent(brief: Brief, journal: UnitJournal) -> Result:
    """Does one attempt of an agent with the model that its brief names."""
    try:
        model = model_for(brief.provider, brief.model)
    except ImportError as error:
        return Failed(instances_pb2.FAILURE_CAUSE_PROVIDER_NOT_CONFIGURED, line(str(error)))
    return await converse(brief, journal, model)


async def converse(brief: Brief, journal: UnitJournal, model: Model) -> Result:
    """Does one attempt of an agent with a model. What ends the journal's recording ends this too, as it was raised."""
    conversation = _Conversation(brief)
    try:
        async with model:
            agent = conversation.agent(model, journal)
            ran = await agent.run(brief.prompt, run_id=brief.run_id, conversation_id=brief.run_id, usage_limits=LIMITS)
    except UnitUnusable as unusable:
        return unusable.failure
    except (AgentRunError, UserError) as error:
        return Failed(instances_pb2.FAILURE_CAUSE_AGENT, _told(error, brief, conversation.last_fault))
    except ValidationError as error:
        # Not the model's own faults, which it is told of: a recorded unit, or a reply, that the library cannot read.
        message = f"a model's reply or a recorded unit cannot be read as {error.title}"
        return Failed(instances_pb2.FAILURE_CAUSE_AGENT, line(message))
    return Succeeded(_output(brief, ran))


class _Conversation:
    """Makes the agent, and remembers what was last wrong with its answer."""

    def __init__(self, brief: Brief) -> None:
        self.last_fault = ""
        self._brief = brief
        self._check = None if brief.output_schema is None else UntrustedSchema(brief.output_schema)

    def agent(self, model: Model, journal: UnitJournal) -> Agent[None, Any]:
        brief = self._brief
        output: Any = str if self._check is None else StructuredDict(dict(self._check.schema))
        agent: Agent[None, Any] = Agent(
            model,
            # The library wants a name; no name of a unit is made of it.
            name="agent",
            instructions=brief.instructions,
            output_type=output,
            toolsets=[
                *([] if brief.workspace is None else [workspace_toolset(brief.workspace, brief.tools)]),
                *([] if brief.ask is None else [people_toolset(brief.ask)]),
            ],
            retries=ANSWER_RETRIES,
            capabilities=[RunLogDurability(journal)],
        )
        if self._check is not None:
            agent.output_validator(self._fitting)
        return agent

    def _fitting(self, answer: JsonObject) -> JsonObject:
        assert self._check is not None
        self.last_fault = self._check.fault(answer)
        if self.last_fault:
            raise ModelRetry(f"The answer does not fit its schema: {self.last_fault}")
        return answer


def _output(brief: Brief, ran: AgentRunResult[Any]) -> JsonObject:
    if brief.output_schema is not None:
        return dict(ran.output)
    usage = ran.usage
    counts = {
        "requests": usage.requests,
        "tool_calls": usage.tool_calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }
    return {"text": ran.output, "usage": counts}


def _told(error: AgentRunError | UserError, brief: Brief, last_fault: str) -> str:
    """A failure as one line: without the key, which some providers repeat."""
    provider = brief.provider
    match error:
        case ModelAuthenticationError() if provider.name in KEYS:
            return f"the provider {provider.name!r} did not accept the key in {KEYS[provider.name]}"
        case ModelHTTPError():
            text = (
                f"{provider.name} answered {error.status_code} for the model {error.model_name!r}: {_said(error.body)}"
            )
        case UnexpectedModelBehavior() if last_fault:
            text = f"its answer does not fit the output schema: {last_fault}"
        case AgentRunError():
            text = error.message
        case _:
            text = f"the agent library does not take it: {error}"
    return line(brief.redacted(text))


def _said(body: object) -> str:
    """The sentence in a provider's error."""
    if isinstance(body, dict):
        inner = body.get("error")
        return _said(inner) if isinstance(inner, dict) else str(body.get("message", "it did not say why"))
    return "it did not say why"
