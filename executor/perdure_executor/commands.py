"""Commands, as the executor sees them: started, watched and killed through the supervisor."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from perdure_executor.supervisor import LOOK_SECONDS

log = structlog.get_logger(__name__)


class CommandNotStarted(Exception):
    """The program could not be started; the message says why."""

    def __init__(self, message: str, *, passing: bool) -> None:
        """`passing` says that it may well be started at another time."""
        super().__init__(message)
        self.passing = passing


class SupervisorLost(Exception):
    """The supervisor is gone: nobody knows what became of what it ran."""

    def __init__(self, *, told: bool = True) -> None:
        """`told` is False where it was lost before it could hear of the command at all."""
        super().__init__()
        self.told = told


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command's process has ended."""

    status: int
    """Exit code, or the negative of the signal that ended it."""
    killed: str
    """Why the supervisor ended it: `told`, or `work_end`; empty where it ended by itself, or by others."""
    seconds: float
    """How long it ran, whether or not this process did."""


@dataclass(slots=True)
class RunningCommand:
    """A command that was started. Reading ends of its output, and a future of how it ended."""

    command_id: int
    pid: int
    """0 until its start is answered."""
    stdout: int
    stderr: int
    ended: asyncio.Future[Ended]
    """Raises SupervisorLost."""


class Supervisor:
    """The executor's side of the supervisor."""

    def __init__(self, look_seconds: float = LOOK_SECONDS) -> None:
        self._look_seconds = look_seconds
        self._next_id = 1
        self._started: dict[int, asyncio.Future[None]] = {}
        self._running: dict[int, RunningCommand] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._saying = asyncio.Lock()
        self.lost: Final = asyncio.Event()

    def start(self) -> None:
        """Starts the supervisor; before anything else, so that nothing else of this process is inherited."""
        ours, theirs = socket.socketpair()
        signs, self._signs = os.pipe()
        os.set_blocking(self._signs, False)
        self._process = subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-m", "perdure_executor.supervisor", str(theirs.fileno()), str(self._look_seconds)],
            pass_fds=[theirs.fileno()],
            stdin=signs,
            start_new_session=True,
        )
        theirs.close()
        os.close(signs)
        ours.setblocking(False)
        self._channel = ours
        asyncio.get_running_loop().add_reader(ours, self._receive)

    async def stop(self) -> None:
        """Ends the supervisor, and with it whatever it runs."""
        asyncio.get_running_loop().remove_reader(self._channel)
        self._channel.close()
        if self._process is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._process.wait)
            os.close(self._signs)

    async def run(self, arguments: Sequence[str], cwd: str, env: Mapping[str, str], stdin: bytes) -> RunningCommand:
        """Starts a command. Raises CommandNotStarted, SupervisorLost."""
        if self.lost.is_set():
            raise SupervisorLost(told=False)
        command_id = self._next_id
        self._next_id += 1
        stdout, stdout_end = os.pipe()
        stderr, stderr_end = os.pipe()
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        self._started[command_id] = started
        running = RunningCommand(command_id, 0, stdout, stderr, loop.create_future())
        self._running[command_id] = running
        try:
            with tempfile.TemporaryFile() as given, contextlib.ExitStack() as stack:
                stack.callback(os.close, stdout_end)
                stack.callback(os.close, stderr_end)
                given.write(stdin)
                given.seek(0)
                order = {"do": "start", "id": command_id, "arguments": list(arguments), "cwd": cwd, "env": dict(env)}
                with contextlib.suppress(SupervisorLost):  # whoever is starting hears of it, too
                    await self._say(order, [given.fileno(), stdout_end, stderr_end])
            await started
        except (CommandNotStarted, SupervisorLost):
            self._started.pop(command_id, None)
            self._running.pop(command_id, None)
            os.close(stdout)
            os.close(stderr)
            raise
        return running

    async def kill(self, command: RunningCommand, grace: float) -> None:
        """Asks a command's process group to end, and ends it after the grace, in seconds."""
        await self._say({"do": "kill", "id": command.command_id, "grace": grace})

    async def feed_work_end(self, at: float) -> None:
        """Says when everything must have ended, on `clock`, whatever becomes of this process."""
        await self._say({"do": "work_end", "at": at})

    def show_life(self) -> None:
        """Shows, from any thread, that Python goes on here. Once it was shown, a work end that has passed without it for a
        while is the end of this process."""
        # That the supervisor stands still or is lost is found elsewhere.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._signs, b".")

    async def _say(self, order: dict[str, Any], fds: Sequence[int] = ()) -> None:
        data = json.dumps(order).encode() + b"\n"
        async with self._saying:
            try:
                # The descriptors travel with the first bytes, and the rest of a long order follows them.
                sent = await _send_fds(self._channel, data, fds) if fds else 0
                await asyncio.get_running_loop().sock_sendall(self._channel, data[sent:])
            except OSError:
                self._lose()
                raise SupervisorLost from None

    def _receive(self) -> None:
        try:
            received = self._channel.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._lose()
            return
        self._buffer += received
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, message: dict[str, Any]) -> None:
        command_id = message["id"]
        if "exited" in message:
            running = self._running.pop(command_id)
            if not running.ended.done():
                running.ended.set_result(Ended(message["exited"], message["killed"], message["seconds"]))
            return
        started = self._started.pop(command_id)
        if started.done():
            return
        if "failed" in message:
            started.set_exception(CommandNotStarted(message["failed"], passing=message["passing"]))
        else:
            self._running[command_id].pid = message["pid"]
            started.set_result(None)

    def _lose(self) -> None:
        if self.lost.is_set():
            return
        log.error("supervisor.lost")
        self.lost.set()
        asyncio.get_running_loop().remove_reader(self._channel)
        for running in self._running.values():
            if not running.pid:
                continue  # its start has no answer, and its starter hears of the loss; group 0 would be our own
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(running.pid, signal.SIGKILL)
            if not running.ended.done():
                running.ended.set_exception(SupervisorLost())
        for started in self._started.values():
            if not started.done():
                started.set_exception(SupervisorLost())


async def _send_fds(channel: socket.socket, data: bytes, fds: Sequence[int]) -> int:
    while True:
        try:
            return socket.send_fds(channel, [data], fds)
        except BlockingIOError:  # it is busy, and has yet to read what was said before
            await _writable(channel)


async def _writable(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(channel, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(channel)
