"""Tasks as messages."""

from perdure.v1 import node_events_pb2, tasks_pb2
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.api.messages.times import duration, timestamp
from perdure_control_plane.domain.task import Task, TaskState, TerminalReason

_UNSEEN = (None, TerminalReason.EXECUTOR_LOST)


def task(value: Task) -> tasks_pb2.Task:
    """A task."""
    message = tasks_pb2.Task(
        name=value.name,
        run=f"runs/{value.run_id}",
        instance=value.instance,
        command=value.command,
        state=tasks_pb2.Task.State.Value(f"STATE_{value.state}"),
        lease_id=value.lease_id,
        start_time=timestamp(value.started_at),
        end_time=timestamp(value.ended_at),
    )
    if value.terminal_reason is not None:
        message.terminal_reason = tasks_pb2.TerminalReason.Value(f"TERMINAL_REASON_{value.terminal_reason}")
    if value.state is not TaskState.RUNNING and value.terminal_reason not in _UNSEEN:
        message.result.CopyFrom(_result(value))
    return message


def _result(value: Task) -> node_events_pb2.TaskResult:
    return node_events_pb2.TaskResult(
        exit_code=value.exit_code,
        signal=value.signal,
        output_bytes=value.output_bytes,
        output_truncated=value.output_truncated,
        duration=duration(value.duration_micros),
    )


def output_piece(recorded: RecordedEvent) -> tasks_pb2.TaskOutputPiece:
    """A piece of output, from the event that has it."""
    piece = recorded.event.task_output
    return tasks_pb2.TaskOutputPiece(
        sequence=recorded.sequence,
        stream=piece.stream,
        offset=piece.offset,
        content=piece.content,
        truncated=piece.truncated,
    )
