"""Functions: callables of a module that was named at the executor's start."""

import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any, Final

import structlog

from perdure.runlog.json_objects import JsonObject
from perdure.v1 import instances_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.calls import NeverCalled
from perdure_executor.expressions import render_stored
from perdure_executor.node_context import Call, Function, NodeContext, NodeFailure, Prepared, Reporter, Work, line
from perdure_executor.results import Failed, Result, Stopped, Succeeded

log = structlog.get_logger(__name__)

LOG_LINE_BYTES: Final = 4096


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
    def write(text: str) -> None:
        cut = text.encode()[:LOG_LINE_BYTES].decode("utf-8", errors="ignore")
        entry = run_events_pb2.LogLine(instance=context.instance.message(), text=cut)
        reporter.say(RunEvent(log_line=entry))

    def asked_to_end() -> None:
        write("it is to end, and nobody can end a plain function: this attempt ends when it returns")
        log.warning("function.runs_on", run=context.run_id, node=context.node.id)

    call = Call(inputs, context.run_id, context.node.id, context.instance.attempt, context.key, write)
    try:
        if _is_coroutine_function(function):
            called: Any = function(call)
            output: Any = await context.equipment.calls.follow(called)
        else:
            output = await context.equipment.calls.in_thread(asked_to_end, function, call)
    except NeverCalled:
        return Stopped(begun=False)
    except NodeFailure as failure:
        return Failed(instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED, line(str(failure)))
    except Exception as error:  # noqa: BLE001  # whatever a function raises fails its node, and is logged here
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.warning(
            "function.raised", run=context.run_id, node=context.node.id, error=type(error).__name__, frames=frames
        )
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {last.name}, line {last.lineno}"
        # Its text may hold whatever the function was given, so it is data, as what a function says itself is.
        write(f"{where}: {error}")
        return Failed(instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED, line(where))
    if output is not None and not isinstance(output, dict):
        message = f"it returned {type(output).__name__}; a function returns an object or nothing"
        return Failed(instances_pb2.FAILURE_CAUSE_OUTPUT_INVALID, message)
    return Succeeded(output or None)


_is_coroutine_function: Final[Callable[[Function], bool]] = functools.cache(inspect.iscoroutinefunction)
