"""Functions: callables of a module that was named at the executor's start."""

import asyncio
import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any, Final

import structlog

from perdure.runlog.json_objects import JsonObject
from perdure.v1 import instances_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.asking import NoAnswer, Unanswered
from perdure_executor.calls import NeverCalled
from perdure_executor.expressions import render_stored
from perdure_executor.frozen_questions import asking, came_of
from perdure_executor.node_context import Call, Function, NodeContext, NodeFailure, Prepared, Reporter, Work, line
from perdure_executor.results import Failed, Result, Stopped, Succeeded, without_its_secret
from perdure_executor.secret_sources import SecretUnavailable

log = structlog.get_logger(__name__)

LOG_LINE_BYTES: Final = 4096

_ITS_OWN: Final = instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED
_UNANSWERED: Final = {
    NoAnswer.REJECTED: instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED,
    NoAnswer.EXPIRED: instances_pb2.FAILURE_CAUSE_APPROVAL_EXPIRED,
    NoAnswer.WITHDRAWN: instances_pb2.FAILURE_CAUSE_APPROVAL_WITHDRAWN,
}
"""Why a node fails whose function did not take it that nobody has answered: as a hold point does."""


def prepare(context: NodeContext) -> Prepared:
    """Finds the function and evaluates its inputs."""
    name = context.node.function.function
    function = context.equipment.functions.get(name)
    if function is None:
        message = f"no function {name!r} is registered; start the executor with --functions MODULE"
        return Failed(instances_pb2.FAILURE_CAUSE_FUNCTION_UNKNOWN, message)
    inputs: JsonObject = render_stored(context.node.inputs, context.see) if context.node.inputs else {}
    return Work(lambda reporter: _call(function, context, inputs, reporter), inputs or None)


async def _call(function: Function, context: NodeContext, inputs: JsonObject, reporter: Reporter) -> Result:
    loop = asyncio.get_running_loop()

    def write(text: str) -> None:
        reporter.say(_log_line(context, text))

    def write_from_thread(text: str) -> None:
        # The walk is its loop's alone. The call's end comes by the same way, after all that is said here.
        loop.call_soon_threadsafe(reporter.say, _log_line(context, text))

    def asked_to_end() -> None:
        write("it is to end, and nobody can end a plain function: this attempt ends when it returns")
        log.warning("function.runs_on", run=context.run_id, node=context.node.id)

    try:
        inputs = context.opened({"inputs": inputs})["inputs"]
    except SecretUnavailable as unavailable:
        return without_its_secret(unavailable)
    is_plain = not _is_coroutine_function(function)
    call = _call_of(context, inputs, write_from_thread if is_plain else write)
    try:
        if is_plain:
            output: Any = await context.equipment.calls.in_thread(asked_to_end, function, call)
        else:
            called: Any = function(call)
            output = await context.equipment.calls.follow(called)
    except BaseException as error:
        # Whatever a function raises fails its attempt, and does nothing else: it stops neither itself nor the executor.
        if reporter.asked_to_end and isinstance(error, NeverCalled):
            return Stopped(begun=False)
        if reporter.asked_to_end and isinstance(error, asyncio.CancelledError):
            raise
        return came_of(context, call.ask) or _raised(error, context, write)
    if ended := came_of(context, call.ask):
        return ended
    if output is not None and not isinstance(output, dict):
        message = f"it returned {type(output).__name__}; a function returns an object or nothing"
        return Failed(instances_pb2.FAILURE_CAUSE_OUTPUT_INVALID, message)
    return Succeeded(output or None)


def _call_of(context: NodeContext, inputs: JsonObject, write: Callable[[str], None]) -> Call:
    run_id, node, attempt = context.run_id, context.node.id, context.instance.attempt
    hide = context.equipment.secrets.redaction.add
    return Call(inputs, run_id, node, attempt, context.key, write, hide, asking(context))


def _raised(error: BaseException, context: NodeContext, write: Callable[[str], None]) -> Failed:
    if isinstance(error, NodeFailure):
        said = context.equipment.secrets.redaction.text(_text(error))  # before it is cut
        cause = _UNANSWERED[error.reason] if isinstance(error, Unanswered) else _ITS_OWN
        return Failed(cause, line(said))
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.warning("function.raised", run=context.run_id, node=context.node.id, error=type(error).__name__, frames=frames)
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {last.name}, line {last.lineno}"
    # Its text may hold whatever the function was given, so it is data, as what a function says itself is.
    write(f"{where}: {_text(error)}")
    return Failed(instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED, line(where))


def _log_line(context: NodeContext, text: str) -> RunEvent:
    text = context.equipment.secrets.redaction.text(text)  # before it is cut
    cut = text.encode(errors="replace")[:LOG_LINE_BYTES].decode("utf-8", errors="ignore")
    return RunEvent(log_line=run_events_pb2.LogLine(instance=context.instance.message(), text=cut))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as worse:  # noqa: BLE001  # the function's own, as all of its error
        return f"its text cannot be read: {type(worse).__name__}"


_is_coroutine_function: Final[Callable[[Function], bool]] = functools.cache(inspect.iscoroutinefunction)
