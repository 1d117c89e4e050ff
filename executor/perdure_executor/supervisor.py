"""The process that commands run under: a program of its own, started before anything else the executor does.

It starts each command in a session and process group of its own, and kills the group when it is told to, when the
command's own process ends, when the executor is gone, and when the work end that the executor feeds it has passed. Before
it is fed a work end it starts nothing, so that an executor that is suspended at any moment leaves nothing running for good.
An executor that shows no life past its work end, though nobody has suspended it, it ends as a whole: functions run there.
It imports nothing of ours, so that it starts fast and can hardly fail.
"""

import ctypes
import errno
import json
import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_PR_SET_PDEATHSIG: Final = 1
_FDS: Final = 3
"""File descriptors that come with every start: standard input, output and error."""

_OWN_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
"""Signals that this program takes in its own way, and a command is to take in its."""

_SHORTAGES: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.EIO)

_READ_WRITE: Final = selectors.EVENT_READ | selectors.EVENT_WRITE
_LONGEST_SLEEP: Final = 1.0

LOOK_SECONDS: Final = 1.0
"""Between two looks at an executor that shows no life past its work end."""

_ENDINGS: Final = {10: signal.SIGABRT, 12: signal.SIGKILL}
"""What it is ended by at which look in a row. At the first it can still say where it stands."""


@dataclass(slots=True)
class _Command:
    process: "subprocess.Popen[bytes]"
    begun: float
    """When it was started, on the clock that does not count while the machine sleeps."""
    kill_at: float = float("inf")
    killed: str = ""
    """Why it is ended from here, while it ran: `told`, or `work_end`."""


@dataclass(slots=True)
class _Executor:
    """The executor, where functions run."""

    pid: int
    look_seconds: float
    watched: bool = False
    """Whether it has ever shown life."""
    looks: int = 0
    """At how many looks in a row it has shown none past its work end."""
    look_at: float = 0.0

    def lives(self) -> None:
        """It has shown life."""
        self.watched, self.looks = True, 0

    def look(self, now: float, work_end: float) -> None:
        """Ends it if it shows no life. One that is suspended cannot, and has much to tell when it goes on."""
        if not (self.watched and 0 < work_end <= now >= self.look_at and os.getppid() == self.pid):
            return
        self.look_at = now + self.look_seconds
        self.looks = 0 if _is_suspended(self.pid) else self.looks + 1
        ending = _ENDINGS.get(self.looks)
        if ending is not None:
            os.kill(self.pid, ending)


class Supervisor:
    """Serves one executor over one socket. Messages are JSON, one a line, in both directions."""

    def __init__(self, channel: socket.socket, look_seconds: float = LOOK_SECONDS) -> None:
        self._channel = channel
        self._executor = _Executor(os.getppid(), look_seconds)
        self._commands: dict[int, _Command] = {}
        self._fds: list[int] = []
        self._buffer = b""
        self._unsent = bytearray()
        self._work_end = 0.0
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Returns when the executor is gone and nothing of it runs any more."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ignored, signal.SIG_IGN)  # it ends when the executor does, and not before
        self._selector.register(reader, selectors.EVENT_READ, lambda: os.read(reader, 4096) != b"")
        self._channel.setblocking(False)
        self._selector.register(self._channel, selectors.EVENT_READ, self._receive)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._take_sign)
        try:
            while self._turn():
                pass
        finally:
            self._kill_all()

    def _turn(self) -> bool:
        self._selector.modify(self._channel, _READ_WRITE if self._unsent else selectors.EVENT_READ, self._receive)
        for key, _ in self._selector.select(self._pause()):
            handle: Callable[[], bool] = key.data
            if not handle():
                return False
        self._reap()
        self._kill_overdue()
        self._executor.look(_now(), self._work_end)
        return self._send()

    def _pause(self) -> float:
        """Seconds until something is due. What is overdue was done in this turn, and is not done faster by turning on."""
        now = _now()
        dues = [self._work_end, self._executor.look_at, *(command.kill_at for command in self._commands.values())]
        return min([_LONGEST_SLEEP, *(due - now for due in dues if due > now)])

    def _take_sign(self) -> bool:
        self._executor.lives()
        return os.read(sys.stdin.fileno(), 4096) != b""

    def _receive(self) -> bool:
        try:
            received, fds, _, _ = socket.recv_fds(self._channel, 1 << 16, 64)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        if not received:
            return False
        self._fds += fds
        self._buffer += received
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return True

    def _obey(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "start":
                self._start(order)
            case "kill":
                self._kill(order["id"], order["grace"])
            case "work_end":
                self._work_end = order["at"]

    def _start(self, order: dict[str, Any]) -> None:
        given, self._fds = self._fds[:_FDS], self._fds[_FDS:]
        try:
            if _now() >= self._work_end:
                raise TimeoutError("the executor's lease leaves no time for it")
            begun = time.monotonic()
            process = subprocess.Popen(  # noqa: S603  # running what the playbook says is what it is for
                order["arguments"],
                cwd=order["cwd"],
                env=order["env"],
                stdin=given[0],
                stdout=given[1],
                stderr=given[2],
                start_new_session=True,
                preexec_fn=_become_a_command,  # this program has one thread
            )
        except (OSError, ValueError) as error:
            self._say(id=order["id"], failed=_plain(error, order), passing=_is_passing(error))
        else:
            self._commands[order["id"]] = _Command(process, begun)
            self._say(id=order["id"], pid=process.pid)
        finally:
            for fd in given:
                os.close(fd)

    def _kill(self, command_id: int, grace: float) -> None:
        command = self._commands.get(command_id)
        if command is not None:
            _end(command, "told", signal.SIGTERM if grace > 0 else signal.SIGKILL)
            command.kill_at = min(command.kill_at, _now() + grace)

    def _reap(self) -> None:
        for command_id, command in list(self._commands.items()):
            status = command.process.poll()
            if status is None:
                continue
            # Whatever it left behind in its group ends with it: a settled node has nothing running.
            _signal_group(command, signal.SIGKILL)
            del self._commands[command_id]
            seconds = time.monotonic() - command.begun
            self._say(id=command_id, exited=status, killed=command.killed, seconds=seconds)

    def _kill_overdue(self) -> None:
        now = _now()
        if now >= self._work_end:
            self._kill_all()
        for command in self._commands.values():
            if now >= command.kill_at:
                _signal_group(command, signal.SIGKILL)
                command.kill_at = float("inf")

    def _kill_all(self) -> None:
        for command in self._commands.values():
            _end(command, "work_end", signal.SIGKILL)

    def _say(self, **message: Any) -> None:
        self._unsent += json.dumps(message).encode() + b"\n"

    def _send(self) -> bool:
        """Sends what there is to say. It never waits for an executor that does not read: there may be some to kill."""
        try:
            if self._unsent:
                del self._unsent[: self._channel.send(self._unsent)]
        except BlockingIOError:
            return True  # the next turn tries again
        except ConnectionError:
            return False
        return True


def _end(command: _Command, why: str, number: signal.Signals) -> None:
    # What has ended by itself was not ended from here, though its end is yet to be told.
    if command.process.poll() is None:
        command.killed = command.killed or why
    _signal_group(command, number)


def _signal_group(command: _Command, number: signal.Signals) -> None:
    try:
        os.killpg(command.process.pid, number)
    except (ProcessLookupError, PermissionError):
        return  # nothing of the group is left


def _is_suspended(pid: int) -> bool:
    """Whether somebody has stopped a process, or a debugger has it."""
    if sys.platform == "linux":
        state = pathlib.Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
    else:
        state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], stdout=subprocess.PIPE).stdout  # noqa: S603, S607
    return state.strip()[:1].upper() == b"T"


def _become_a_command() -> None:
    for number in _OWN_SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # what is ignored stays so in the program that is started
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _plain(error: Exception, order: dict[str, Any]) -> str:
    match error:
        case FileNotFoundError() if error.filename == order["cwd"]:
            return f"the directory {order['cwd']} does not exist"
        case FileNotFoundError():
            return f"there is no program {order['arguments'][0]!r}"
        case PermissionError():
            return f"{error.filename!r} may not be run, or entered"
        case _:
            return str(error)


def _is_passing(error: Exception) -> bool:
    """Whether the same may well be started at another time: this machine is short of something, or of time."""
    return isinstance(error, TimeoutError) or getattr(error, "errno", None) in _SHORTAGES


def _now() -> float:
    return time.clock_gettime(_CLOCK)


if __name__ == "__main__":
    Supervisor(socket.socket(fileno=int(sys.argv[1])), float(sys.argv[2])).serve()
