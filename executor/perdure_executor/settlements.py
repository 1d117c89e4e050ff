"""From what became of a node's work to the events that say so."""

import hashlib
from collections.abc import Sequence

import structlog

from perdure.runlog.effects import GUARDED
from perdure.runlog.failures import is_tried_again
from perdure.runlog.instances import place_of
from perdure.runlog.intents import Start
from perdure.runlog.json_objects import JsonObject, TooDeep, bounded_json
from perdure.runlog.node_walk import NodeWalk
from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2, node_events_pb2, run_events_pb2, run_states_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.backoff import retry_delay
from perdure_executor.node_context import line
from perdure_executor.results import Asked, Failed, Result, Stopped, Succeeded, TimedOut, fault_of_ours

log = structlog.get_logger(__name__)


def settlement(start: Start, result: Result, before: NodeWalk, max_payload_bytes: int) -> list[RunEvent]:
    """The events that settle an attempt, or leave it in doubt; a fault of ours in making them is that attempt's alone."""
    try:
        return _settlement(start, result, before, max_payload_bytes)
    except Exception as error:  # whoever walks the run would lose it, and so would everybody after
        log.exception("node.not_settled", node=start.node.id)
        return _settlement(start, fault_of_ours(error), before, max_payload_bytes)


def _settlement(start: Start, result: Result, before: NodeWalk, max_payload_bytes: int) -> list[RunEvent]:
    """What an attempt came to.

    `before` is how the node stood until now, with its failures in a row. Work that was cut short counts as over where its
    effect may be repeated; otherwise nobody knows what it did. What was to be stopped and came to its own end all the same
    is what it came to. A time limit that passed is a doubt of a guarded effect whatever it came to later: its author said
    that an attempt which takes longer is not to be trusted.
    """
    guarded = start.node.effect in GUARDED
    match result:
        case Succeeded():
            return _succeeded(start, result, before, max_payload_bytes)
        case Failed() if guarded and result.begun and result.cause == instances_pb2.FAILURE_CAUSE_INTERNAL:
            # The fault is the executor's own, after the work had begun: how far it came is not known.
            return [_doubt(start, result.cause, result.message)]
        case Failed(output=None):
            return [_failed(start, result, before)]
        case Failed():
            return _broken(start, result, before, max_payload_bytes)
        case TimedOut() if guarded:
            return [_doubt(start, instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT, result.message)]
        case TimedOut():
            cause = instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT
            return [_failed(start, Failed(cause, result.message, result.task), before)]
        case Stopped() if guarded and result.begun:
            return [_doubt(start, instances_pb2.FAILURE_CAUSE_STOPPED, result.message)]
        case Stopped():
            return [stopped(start, result)]
        case Asked():
            event = _settled(start, instances_pb2.OUTCOME_ASKED, _NO_CAUSE, "", None)
            event.node_settled.question.CopyFrom(result.question)
            return _with_output(start, result.subject, event)


def bounded(events: Sequence[RunEvent], walk: Walk, max_payload_bytes: int) -> Sequence[RunEvent]:
    """What follows from the log, as it may be stored: with the back-off before another attempt, an output that a map may
    leave, and an end that a child's parent can be told of."""
    for event in events:
        if event.node_settled.outcome == instances_pb2.OUTCOME_FAILED:
            _draw_backoff(event, walk)
    size = max(len(events[0].run_output.json), len(events[0].node_output.json))
    if size <= max_payload_bytes:
        return events
    cause = instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE
    message = f"what it leaves has {size} bytes; the limit is {max_payload_bytes}"
    if events[-1].run_ended.state not in (run_states_pb2.RUN_STATE_UNSPECIFIED, run_states_pb2.RUN_STATE_COMPLETED):
        return (_leaving_nothing(events[-1]),)  # it ends as it does; what a shard had done is done again
    if settled := [event.node_settled for event in events if event.HasField("node_settled")]:
        return (_too_large(settled[0], cause, message),)
    failed = run_events_pb2.RunEnded(state=run_states_pb2.RUN_STATE_FAILED, cause=cause, message=message)
    return (RunEvent(run_ended=failed),)


def _leaving_nothing(event: RunEvent) -> RunEvent:
    alone = RunEvent()
    alone.CopyFrom(event)
    alone.run_ended.ClearField("output_digest")
    return alone


def _too_large(
    settled: node_events_pb2.NodeSettled, cause: instances_pb2.FailureCause.ValueType, message: str
) -> RunEvent:
    where, failed = settled.instance, instances_pb2.OUTCOME_FAILED
    return RunEvent(
        node_settled=node_events_pb2.NodeSettled(
            instance=where, effect=settled.effect, outcome=failed, cause=cause, message=message
        )
    )


def _draw_backoff(event: RunEvent, walk: Walk) -> None:
    settled = event.node_settled
    place = place_of(settled.instance.path[-1])
    node, before = walk.spec(place), walk.nodes[place]
    if is_tried_again(node, settled.cause, before.failures + 1, before.extra_attempts):
        delay = retry_delay(node, before.failures + 1)
        if delay:
            settled.retry_delay.FromMicroseconds(round(delay * 1e6))


def jumped_over(events: list[RunEvent]) -> list[RunEvent]:
    """The same events of an attempt that the walk is going back over: a failure there is nobody's to mend, and a question
    nobody's to answer; should the walk not go back after all, it is asked by another attempt."""
    settled = events[-1].node_settled
    if settled.outcome == instances_pb2.OUTCOME_ASKED:
        settled.outcome, settled.cause = instances_pb2.OUTCOME_STOPPED, instances_pb2.FAILURE_CAUSE_STOPPED
        settled.message = "it was about to ask a person"
        settled.ClearField("question")
        settled.ClearField("output_digest")
        return events[-1:]
    if settled.outcome == instances_pb2.OUTCOME_FAILED:
        settled.outcome = instances_pb2.OUTCOME_JUMPED_OVER
        settled.ClearField("retry_delay")
    return events


def stopped(start: Start, result: Stopped) -> RunEvent:
    """The attempt ended from outside, and nothing of it matters."""
    cause = instances_pb2.FAILURE_CAUSE_STOPPED
    message = "" if result.begun else "it had not begun"
    return _settled(start, instances_pb2.OUTCOME_STOPPED, cause, message, result.task)


def _succeeded(start: Start, result: Succeeded, before: NodeWalk, max_payload_bytes: int) -> list[RunEvent]:
    if not result.output:
        return [_settled(start, instances_pb2.OUTCOME_SUCCEEDED, _NO_CAUSE, "", result.task)]
    output = _encoded(result.output, result.task, max_payload_bytes)
    if isinstance(output, Failed):
        return [_failed(start, output, before)]
    return _with_output(start, output, _settled(start, instances_pb2.OUTCOME_SUCCEEDED, _NO_CAUSE, "", result.task))


def _broken(start: Start, failed: Failed, before: NodeWalk, max_payload_bytes: int) -> list[RunEvent]:
    """Its work succeeded and broke a promise: what it gave is kept for people, since its effect may have happened."""
    event = _failed(start, failed, before)
    output = _encoded(failed.output or {}, failed.task, max_payload_bytes)
    return [event] if isinstance(output, Failed) else _with_output(start, output, event)


def _with_output(start: Start, output: bytes, event: RunEvent) -> list[RunEvent]:
    produced = RunEvent()
    produced.node_output.instance.CopyFrom(start.instance.message())
    produced.node_output.json = output
    event.node_settled.output_digest = hashlib.sha256(output).digest()
    return [produced, event]


def _encoded(values: JsonObject, task: node_events_pb2.TaskResult | None, max_payload_bytes: int) -> bytes | Failed:
    """An output as it is stored, or why it cannot be."""
    try:
        output = bounded_json(values)
    except TooDeep as error:
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, f"its output {error}", task)
    except UnicodeEncodeError:
        return Failed(instances_pb2.FAILURE_CAUSE_NOT_CANONICAL, "its output holds a lone surrogate", task)
    except ValueError as error:
        return Failed(instances_pb2.FAILURE_CAUSE_NOT_CANONICAL, f"its output has no JSON form: {error}", task)
    except TypeError as error:
        return Failed(instances_pb2.FAILURE_CAUSE_OUTPUT_INVALID, f"its output is not JSON: {error}", task)
    if len(output) > max_payload_bytes:
        message = f"its output has {len(output)} bytes; the limit is {max_payload_bytes}"
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, message, task)
    return output


def _failed(start: Start, failed: Failed, before: NodeWalk) -> RunEvent:
    event = _settled(start, instances_pb2.OUTCOME_FAILED, failed.cause, failed.message, failed.task)
    failures = before.failures + 1
    again = is_tried_again(start.node, failed.cause, failures, before.extra_attempts)
    delay = retry_delay(start.node, failures) if again else 0.0
    if delay:
        event.node_settled.retry_delay.FromMicroseconds(round(delay * 1e6))
    return event


def _doubt(start: Start, cause: instances_pb2.FailureCause.ValueType, message: str) -> RunEvent:
    doubt = node_events_pb2.NodeInDoubt(instance=start.instance.message(), cause=cause, message=line(message))
    return RunEvent(node_in_doubt=doubt)


def _settled(
    start: Start,
    outcome: instances_pb2.Outcome.ValueType,
    cause: instances_pb2.FailureCause.ValueType,
    message: str,
    task: node_events_pb2.TaskResult | None,
) -> RunEvent:
    # Filled in place: a message that is given to another one's constructor is copied there.
    event = RunEvent()
    settled = event.node_settled
    settled.instance.CopyFrom(start.instance.message())
    settled.effect, settled.outcome, settled.cause = start.node.effect, outcome, cause
    if message:
        settled.message = line(message)
    if task is not None:
        settled.task.CopyFrom(task)
    return event


_NO_CAUSE = instances_pb2.FAILURE_CAUSE_UNSPECIFIED
