"""Agents: work done by a language model with tools."""

import asyncio
import importlib
import json
from typing import Any, Final

import structlog

from perdure.runlog.json_objects import JsonObject, json_bytes
from perdure.runlog.plans import AGENT_TOOLS, ASK_PERSON, WORKSPACE_TOOLS
from perdure.v1 import instances_pb2
from perdure_executor.agents.brief import Brief
from perdure_executor.agents.journal import UnitJournal
from perdure_executor.agents.workspace import NotReadable, Workspace
from perdure_executor.expressions import render, render_text
from perdure_executor.frozen_questions import asking, came_of
from perdure_executor.node_context import NodeContext, Prepared, Reporter, Work, line
from perdure_executor.providers import ProviderUnusable, provider_for
from perdure_executor.results import CannotPrepare, Failed, Result

log = structlog.get_logger(__name__)

AGENT_LOOP: Final = "perdure_executor.agents.agent_loop"


def prepare(context: NodeContext) -> Prepared:
    """Finds the provider, and evaluates the prompt and the workspace."""
    spec, bindings = context.node.agentic, context.see()
    try:
        provider = provider_for(spec.provider, spec.model, context.equipment.providers)
    except ProviderUnusable as unusable:
        return Failed(instances_pb2.FAILURE_CAUSE_PROVIDER_NOT_CONFIGURED, line(str(unusable)))
    brief = Brief(
        run_id=f"{context.run_id}/{context.instance}",
        agent=spec.agent,
        role=spec.role,
        prompt=_prompt(context, bindings),
        provider=provider,
        model=spec.model,
        tools=_tools(tuple(spec.tools)),
        workspace=_workspace(context, bindings),
        output_schema=_output_schema(spec.output_schema),
        redacted=context.equipment.secrets.redaction.text,
        ask=asking(context) if ASK_PERSON in spec.tools else None,
    )
    folder = "" if brief.workspace is None else str(brief.workspace.root)
    return Work(lambda reporter: _run(brief, context, reporter), _arguments(context, brief), folder=folder)


def _prompt(context: NodeContext, bindings: JsonObject) -> str:
    prompt = render_text(context.node.agentic.prompt, bindings)
    if not context.node.inputs:
        return prompt
    inputs = render(json.loads(context.node.inputs), bindings)
    return f"{prompt}\n\nInputs:\n{json.dumps(inputs, indent=2, ensure_ascii=False)}"


def _tools(named: tuple[str, ...]) -> tuple[str, ...]:
    for tool in named:
        if tool not in AGENT_TOOLS:
            message = f"there is no tool {tool!r} here; there are {', '.join(AGENT_TOOLS)}"
            raise CannotPrepare(instances_pb2.FAILURE_CAUSE_AGENT, line(message))
    return named


def _workspace(context: NodeContext, bindings: JsonObject) -> Workspace | None:
    folder = render_text(context.node.agentic.workspace, bindings)
    if set(WORKSPACE_TOOLS).isdisjoint(context.node.agentic.tools):
        return None
    try:
        return Workspace(context.equipment.workspace, folder)
    except NotReadable as nothing:
        raise CannotPrepare(instances_pb2.FAILURE_CAUSE_NOT_STARTED, line(str(nothing))) from nothing


def _output_schema(schema: bytes) -> JsonObject | None:
    if not schema:
        return None
    wanted: JsonObject = {"type": "object"} | json.loads(schema)
    if wanted["type"] != "object":
        message = "its output_schema does not describe an object, and what a node produces is one"
        raise CannotPrepare(instances_pb2.FAILURE_CAUSE_OUTPUT_INVALID, message)
    return wanted


def _arguments(context: NodeContext, brief: Brief) -> JsonObject:
    arguments: JsonObject = {
        "prompt": brief.prompt,
        "provider": brief.provider.name,
        "model": brief.model,
        "tools": list(brief.tools),
        "workspace": "" if brief.workspace is None else str(brief.workspace.root),
    }
    size, limit = len(json_bytes(arguments)), context.equipment.max_payload_bytes
    if size > limit:
        # What an agent was asked must be in the log, or nobody can answer for what it did.
        message = f"what it is called with has {size} bytes; the limit is {limit}"
        raise CannotPrepare(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, message)
    return arguments


async def _run(brief: Brief, context: NodeContext, reporter: Reporter) -> Result:
    limit, redaction = context.equipment.max_payload_bytes, context.equipment.secrets.redaction
    journal = UnitJournal(
        context.instance, context.units, reporter.keep, limit, redaction.value, context.equipment.codec
    )
    # Loading the agent library takes a second: only an executor that has an agent to run pays it, in a thread, so that
    # its other runs and its heartbeats go on.
    agent_loop: Any = await asyncio.to_thread(importlib.import_module, AGENT_LOOP)
    try:
        result: Result = await agent_loop.run_agent(brief, journal)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) or (ended := came_of(context, brief.ask)) is None:
            raise
        return ended
    if ended := came_of(context, brief.ask):
        return ended
    if isinstance(result, Failed):
        cause = instances_pb2.FailureCause.Name(result.cause)
        log.warning("agent.failed", run=context.run_id, node=context.node.id, cause=cause)
    return result
