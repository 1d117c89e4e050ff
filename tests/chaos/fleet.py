"""The programs under test, as processes of their own: started, killed, frozen, and started again."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LEASE_SECONDS: Final = 2.0
THREADS_LEFT: Final = 70
"""Exit code of an executor that ends itself, rightly: what it ran in a thread outlived its lease."""

DATABASE_AWAY: Final = 69
"""Exit code of a control plane that was started while its database was away; it is started again."""

_SERVER: Final = ("--lease-seconds", str(LEASE_SECONDS), "--heartbeat-seconds", "0.4", "--stop-grace-seconds", "2")
_SERVER_ENVIRONMENT: Final = {
    "PERDURE_CONTROL_PLANE_SWEEP_SECONDS": "0.2",
    "PERDURE_CONTROL_PLANE_STALL_ALLOWANCE_SECONDS": "1",
    "PERDURE_CONTROL_PLANE_ASSIGNMENT_ACK_SECONDS": "2",
}
_EXECUTOR_ENVIRONMENT: Final = {"PERDURE_EXECUTOR_KILL_GRACE_SECONDS": "0.5"}
_FUNCTIONS: Final = pathlib.Path(__file__).with_name("functions.py")


@dataclass(frozen=True, slots=True)
class Program:
    """One process, from its start to its end. No two ever have the same name."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: pathlib.Path

    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll()

    def works(self) -> bool:
        """Whether it has come as far as serving, or being connected; a program that starts up is not worth killing."""
        said = self.log.read_bytes()
        return b'"server.started"' in said or b'"stream.opened"' in said


@dataclass(frozen=True, slots=True)
class Kill:
    """A process that was ended from outside, and when, in seconds since 1970."""

    name: str
    at: float


@dataclass(slots=True)
class Seat:
    """A place where a control plane listens: one after another, as they are killed."""

    port: int
    door: int
    """The port at which everybody asks for it."""
    program: Program | None = None


class Fleet:
    """Control planes on loopback and a number of executors, below one directory."""

    def __init__(self, directory: pathlib.Path, executors: int, seats: Sequence[Seat], database: str = "") -> None:
        """`database` is what the control planes share; empty for SQLite below the directory, which one has alone."""
        self._directory = directory
        self._server_environment = {**_SERVER_ENVIRONMENT, "PERDURE_CONTROL_PLANE_DATABASE": database}
        self._size = executors
        self._lives = 0
        self.seats: Final = seats
        self.data: Final = directory / "data"
        doors = ",".join(f"127.0.0.1:{seat.door}" for seat in seats)
        self.address: Final = f"ipv4:{doors}" if len(seats) > 1 else doors
        self.executors: Final[list[Program]] = []
        """Those that run, frozen ones too."""
        self.leaving: Final[list[Program]] = []
        """Those that were asked to end and have not yet."""
        self.frozen: Final[set[str]] = set()
        self.executor_kills: Final[list[Kill]] = []
        self.server_kills: Final[list[Kill]] = []
        self.unasked: Final[list[str]] = []
        """Programs that ended though nobody had ended them."""

    def start(self) -> None:
        """Starts everything."""
        for seat in self.seats:
            self.start_server(seat)
        self.fill()

    def start_server(self, seat: Seat) -> None:
        """Starts a control plane, at the address and on the data of the one before."""
        flags = ("--port", str(seat.port), "--data-dir", str(self.data), *_SERVER)
        seat.program = self._spawn("control-plane", flags, self._server_environment)

    def fill(self) -> None:
        """Starts executors until there are as many as there should be."""
        self.look()
        while len(self.executors) < self._size:
            name = f"executor-{self._lives + 1}"
            flags = ("--server", self.address, "--name", name, "--slots", "6", "--drain-seconds", "1")
            more = ("--functions", str(_FUNCTIONS), "--workspace", str(self._directory))
            self.executors.append(self._spawn("executor", (*flags, *more), _EXECUTOR_ENVIRONMENT))

    def look(self) -> None:
        """Notes programs that ended by themselves."""
        for program in [one for one in self.executors if one.ended() is not None]:
            self.executors.remove(program)
            self.frozen.discard(program.name)
            if program.ended() != THREADS_LEFT:
                self.unasked.append(f"{program.name} ended with {program.ended()}; its log is {program.log}")
        for program in [one for one in self.leaving if one.ended() is not None]:
            self.leaving.remove(program)
            if program.ended() != 0:
                self.unasked.append(f"{program.name} left with {program.ended()}; its log is {program.log}")
        for seat in self.seats:
            server = seat.program
            if server is not None and server.ended() is not None:
                if server.ended() != DATABASE_AWAY:
                    self.unasked.append(f"{server.name} ended with {server.ended()}; its log is {server.log}")
                self.start_server(seat)

    def awake(self) -> list[Program]:
        """Executors that work and are not frozen."""
        return [program for program in self.executors if program.name not in self.frozen and program.works()]

    def serving(self) -> list[Seat]:
        """Where a control plane has come as far as serving."""
        return [seat for seat in self.seats if seat.program is not None and seat.program.works()]

    def kill_server(self, seat: Seat) -> None:
        """Ends a control plane at once."""
        if seat.program is not None:
            self.server_kills.append(Kill(seat.program.name, time.time()))
            _end(seat.program)
            seat.program = None

    def kill(self, program: Program) -> None:
        """Ends an executor at once."""
        self.executors.remove(program)
        self.frozen.discard(program.name)
        self.executor_kills.append(Kill(program.name, time.time()))
        _end(program)

    def dismiss(self, program: Program) -> None:
        """Asks an executor to give back what it holds and end."""
        self.executors.remove(program)
        self.leaving.append(program)
        program.process.terminate()

    def freeze(self, program: Program) -> None:
        """Lets an executor do nothing, while its commands run on."""
        self.frozen.add(program.name)
        program.process.send_signal(signal.SIGSTOP)

    def freeze_server(self, seat: Seat) -> Program:
        """Lets a control plane do nothing, while everybody waits for it."""
        assert seat.program is not None
        seat.program.process.send_signal(signal.SIGSTOP)
        return seat.program

    def thaw(self, program: Program) -> None:
        """Lets a frozen program go on, as if no time had passed for it, unless it was ended meanwhile."""
        self.frozen.discard(program.name)
        program.process.send_signal(signal.SIGCONT)

    def logs(self, kind: str = "") -> list[pathlib.Path]:
        """The log of every program that ever ran, or of every one of a kind."""
        return sorted(self._directory.glob(f"{kind}*.log"))

    def close(self) -> None:
        """Ends everything."""
        for program in [*self.executors, *self.leaving, *(seat.program for seat in self.seats if seat.program)]:
            _end(program)
        self.executors.clear()
        self.leaving.clear()
        for seat in self.seats:
            seat.program = None

    def _spawn(self, kind: str, flags: tuple[str, ...], environment: dict[str, str]) -> Program:
        self._lives += 1
        name = f"{kind}-{self._lives}"
        log = self._directory / f"{name}.log"
        arguments = [sys.executable, "-m", "perdure_services.main", kind, *flags]
        with log.open("wb") as written:
            process = subprocess.Popen(
                [*arguments, "--log-format", "json", "--log-level", "debug"],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        return Program(name, process, log)


def _end(program: Program) -> None:
    program.process.kill()
    program.process.wait()
