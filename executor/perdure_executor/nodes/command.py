"""Commands: real processes under the supervisor, their output streamed into the log as it comes."""

import asyncio
import json
import os
import pathlib
from dataclasses import dataclass, field
from typing import Any, Final

from perdure.runlog.json_objects import JsonObject, TooDeep
from perdure.secrets.paths import EVERY
from perdure.v1 import instances_pb2, node_events_pb2, plans_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.commands import CommandNotStarted, Ended, RunningCommand, SupervisorLost
from perdure_executor.expressions import render_text
from perdure_executor.node_context import NodeContext, Prepared, Reporter, Work, line
from perdure_executor.redaction import MARK, RedactedStream
from perdure_executor.results import CannotPrepare, Failed, Result, Stopped, Succeeded, without_its_secret
from perdure_executor.secret_sources import SecretUnavailable

FLUSH_SECONDS: Final = 0.2
"""How long printed output may wait for more before it is sent to the log."""

STRAGGLER_SECONDS: Final = 2.0
"""How long output is read on after the command's own process has ended and its group was killed."""

PIECE_BYTES: Final = 64 * 1024
STDOUT_TAIL: Final = 64 * 1024
STDERR_TAIL: Final = 16 * 1024
"""How much of the end of each stream is part of the node's own output."""

SHELL: Final = "/bin/sh"

_STDOUT: Final = node_events_pb2.OUTPUT_STREAM_STDOUT
_STDERR: Final = node_events_pb2.OUTPUT_STREAM_STDERR


def prepare(context: NodeContext) -> Prepared:
    """Evaluates the command line, its directory, environment and input."""
    spec, bindings = context.node.deterministic, context.see()
    arguments = [render_text(argument, bindings) for argument in spec.arguments]
    if spec.shell:
        arguments = [SHELL, "-c", *arguments]
    if any("\0" in argument for argument in arguments):
        raise CannotPrepare(instances_pb2.FAILURE_CAUSE_NOT_STARTED, "an argument holds a NUL character")
    cwd = os.path.join(context.equipment.workspace, render_text(spec.cwd, bindings))  # noqa: PTH118  # may be absolute
    env = {variable.name: render_text(variable.value, bindings) for variable in spec.env}
    stdin = render_text(spec.stdin, bindings)
    values: JsonObject = {"arguments": arguments, "cwd": cwd}
    # Their names only: variables are where secrets are.
    values |= {"env": sorted(env)} if env else {}
    values |= {"stdin": stdin} if stdin else {}
    command = _Command(context, arguments, cwd, {"env": env, "stdin": stdin})
    return Work(command.run, values, pathlib.PurePath(arguments[0]).name, cwd)


@dataclass(slots=True)
class _Command:
    context: NodeContext
    arguments: list[str]
    cwd: str
    given: JsonObject
    """Its environment and its standard input, with references to secrets as they are."""

    async def run(self, reporter: Reporter) -> Result:
        """Runs it to its end. Cancelling this ends the command's process group, and returns when that has ended."""
        stop = asyncio.Event()
        work = asyncio.ensure_future(self._run(reporter, stop))
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                stop.set()
        return work.result()

    async def _run(self, reporter: Reporter, stop: asyncio.Event) -> Result:
        supervisor = self.context.equipment.supervisor
        try:
            given = self.context.opened(self.given)
            environment = self._environment(given["env"])
            running = await supervisor.run(self.arguments, self.cwd, environment, given["stdin"].encode())
        except SecretUnavailable as unavailable:
            return without_its_secret(unavailable)
        except CommandNotStarted as error:
            # What is not there is not tried again; what this executor has no room or no time for is.
            cause = instances_pb2.FAILURE_CAUSE_INTERNAL if error.passing else instances_pb2.FAILURE_CAUSE_NOT_STARTED
            return Failed(cause, line(str(error)), node_events_pb2.TaskResult())
        except SupervisorLost as lost:
            return Stopped(begun=lost.told, message="the supervisor of commands was lost while it was to start it")
        output = _Output(self.context, reporter)
        streams = [
            asyncio.create_task(output.follow(running.stdout, _STDOUT)),
            asyncio.create_task(output.follow(running.stderr, _STDERR)),
        ]
        try:
            ended = await self._end_of(running, stop)
        except SupervisorLost:
            return Stopped(message="the supervisor of commands was lost, and what it ran was ended")
        finally:
            # A process that has left the group may hold the pipes open for ever; what it prints is nobody's output now.
            _, still_open = await asyncio.wait(streams, timeout=STRAGGLER_SECONDS)
            for stream in still_open:
                stream.cancel()
        task = output.result(ended)
        return Stopped(task) if ended.killed else self._outcome(ended.status, task, output)

    async def _end_of(self, running: RunningCommand, stop: asyncio.Event) -> Ended:
        """How its process has ended. Raises SupervisorLost."""
        stopping = asyncio.create_task(stop.wait())
        either: list[asyncio.Future[Any]] = [stopping, running.ended]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not running.ended.done():
            await self.context.equipment.supervisor.kill(running, self.context.equipment.kill_grace)
        return await running.ended

    def _environment(self, own: dict[str, str]) -> dict[str, str]:
        context = self.context
        return {
            **context.equipment.environment,
            **own,
            # Last: whoever reads them relies on them, whatever the node's own variables are.
            "PERDURE_RUN_ID": context.run_id,
            "PERDURE_NODE": context.node.id,
            "PERDURE_ATTEMPT": str(context.instance.attempt),
            "PERDURE_IDEMPOTENCY_KEY": context.key(),
        }

    def _outcome(self, status: int, task: node_events_pb2.TaskResult, output: "_Output") -> Result:
        spec = self.context.node.deterministic
        if status < 0:
            return Failed(instances_pb2.FAILURE_CAUSE_SIGNALLED, f"it was ended by signal {-status}", task)
        if status not in (spec.success_exit_codes or [0]):
            # Never what it printed: an output does not sit in an event that is kept with the run itself.
            more = "; its output says more" if task.output_bytes else ", and printed nothing"
            return Failed(instances_pb2.FAILURE_CAUSE_EXIT_CODE, f"it ended with exit code {status}{more}", task)
        if spec.output_format == plans_pb2.OUTPUT_FORMAT_JSON:
            return self._json_output(task, output)
        values: JsonObject = {"exit_code": status, "stdout": output.stdout.text(), "stderr": output.stderr.text()}
        return Succeeded(values, task)

    def _json_output(self, task: node_events_pb2.TaskResult, output: "_Output") -> Result:
        cause = instances_pb2.FAILURE_CAUSE_OUTPUT_INVALID
        if output.json.total > STDOUT_TAIL:
            return Failed(cause, f"it printed more than the {STDOUT_TAIL} bytes a JSON output may have", task)
        try:
            values = json.loads(output.json.text())
        except ValueError as error:
            return Failed(cause, line(f"what it printed is not JSON: {error}"), task)
        except RecursionError:
            return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, f"what it printed {TooDeep()}", task)
        if not isinstance(values, dict):
            return Failed(cause, "what it printed is not a JSON object", task)
        return Succeeded(values, task)


@dataclass(slots=True)
class _Tail:
    """The end of a stream."""

    limit: int
    total: int = 0
    kept: bytearray = field(default_factory=bytearray)

    def add(self, content: bytes) -> None:
        self.total += len(content)
        self.kept += content
        del self.kept[: -self.limit]

    def text(self) -> str:
        return self.kept.decode("utf-8", errors="replace")


class _Output:
    """Both streams of a command, on their way into the log: without what is secret, but for `json`, which is redacted
    when it is read. What their node declares to be sensitive is left out of the log whole."""

    def __init__(self, context: NodeContext, reporter: Reporter) -> None:
        self._context = context
        self._reporter = reporter
        self._logged = 0
        self._offsets = {_STDOUT: 0, _STDERR: 0}
        self._truncated: set[node_events_pb2.OutputStream.ValueType] = set()
        self._withheld = _withheld(context.node)
        self.stdout = _Tail(STDOUT_TAIL)
        self.stderr = _Tail(STDERR_TAIL)
        self.json = _Tail(STDOUT_TAIL)

    async def follow(self, fd: int, stream: node_events_pb2.OutputStream.ValueType) -> None:
        """Reads a stream to its end."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=PIECE_BYTES)
        pipe = os.fdopen(fd, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        is_json = stream == _STDOUT and self._context.node.deterministic.output_format == plans_pb2.OUTPUT_FORMAT_JSON
        redacted = RedactedStream(self._context.equipment.secrets.redaction)
        try:
            while piece := await _gathered(reader):
                if is_json:
                    self.json.add(piece)
                self._tell(stream, redacted.feed(piece))
                await self._reporter.room()
        finally:
            self._tell(stream, redacted.rest())
            transport.close()

    def _tell(self, stream: node_events_pb2.OutputStream.ValueType, piece: bytes) -> None:
        tail = self.stdout if stream == _STDOUT else self.stderr
        if stream in self._withheld:
            piece = MARK.encode() if piece and not tail.total else b""
        if not piece:
            return
        offset = self._offsets[stream]
        tail.add(piece)
        if stream in self._truncated:
            return
        left = self._context.equipment.max_task_output_bytes - self._logged
        if len(piece) > left:
            self._truncated.add(stream)
        self._logged += min(len(piece), left)
        printed = node_events_pb2.TaskOutput(
            instance=self._context.instance.message(),
            stream=stream,
            offset=offset,
            content=self._sealed(piece[:left]),
            truncated=stream in self._truncated,
        )
        self._offsets[stream] += len(printed.content)
        self._reporter.say(RunEvent(task_output=printed))

    def _sealed(self, piece: bytes) -> bytes:
        """A piece as it goes into the log: encrypted it is a line, so that pieces are found again in what is read whole."""
        codec = self._context.equipment.codec
        return f"{codec.sealed(piece.decode('latin-1'))}\n".encode() if codec.encrypts else piece

    def result(self, ended: Ended) -> node_events_pb2.TaskResult:
        """How the process ended."""
        status = ended.status
        result = node_events_pb2.TaskResult(
            exit_code=status if status >= 0 else None,
            signal=max(0, -status),
            output_bytes=self.stdout.total + self.stderr.total,
            output_truncated=bool(self._truncated),
        )
        result.duration.FromMicroseconds(round(ended.seconds * 1e6))
        return result


def _withheld(node: plans_pb2.PlanNode) -> set[node_events_pb2.OutputStream.ValueType]:
    """Streams that are sensitive: those that its node names, and of JSON the one that it is printed on."""
    named = {declared.keys[0] for declared in node.sensitive}
    if node.deterministic.output_format == plans_pb2.OUTPUT_FORMAT_JSON:
        return {_STDOUT} if named else set()
    return {stream for stream, name in ((_STDOUT, "stdout"), (_STDERR, "stderr")) if {name, EVERY} & named}


async def _gathered(reader: asyncio.StreamReader) -> bytes:
    """What comes within the flush time of the first byte, at most a piece; empty at the end."""
    piece = await reader.read(PIECE_BYTES)
    if not piece:
        return piece
    until = asyncio.get_running_loop().time() + FLUSH_SECONDS
    while len(piece) < PIECE_BYTES:
        left = until - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(left):
                more = await reader.read(PIECE_BYTES - len(piece))
        except TimeoutError:
            break
        if not more:
            break
        piece += more
    return piece
