"""The demo's programs, each a process of its own: started, killed, and all ended when the demo ends, however it ends."""

import asyncio
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(sys.executable).parent
START_SECONDS = 30.0
STOP_SECONDS = 5.0
LOOK_SECONDS = 0.05


class ProgramFailed(Exception):
    """A program ended, or did not begin; the message says where its log is."""


@dataclass(frozen=True, slots=True)
class Printed:
    """How a command of the command line ended."""

    code: int
    output: str


class Programs:
    """Use it with `async with`: at its end nothing that it has started runs any more."""

    def __init__(self, folder: pathlib.Path, workspace: pathlib.Path) -> None:
        """Logs and the control plane's data go below the folder; the executors work in the workspace."""
        self.address = ""
        self.executors: list[str] = []
        self._folder = folder
        self._workspace = workspace
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    async def start_control_plane(self) -> None:
        """Returns when it listens; `address` says where."""
        # Agents may look at the folder, and never at one of this name: the server's keys are in it.
        self._start("control-plane", "control-plane", "--data-dir", str(self._folder / ".perdure"))
        started = await self._logged("control-plane", "server.started")
        self.address = str(started["address"])

    async def start_executor(self, name: str) -> None:
        """Returns when it is ready for work."""
        self.executors.append(name)
        functions, workspace = str(HERE / "report.py"), str(self._workspace)
        given = ["--server", self.address, "--functions", functions, "--workspace", workspace]
        self._start(name, "executor", "--name", name, *given)
        await self._logged(name, "stream.opened")

    def kill(self, name: str) -> None:
        """Ends a program with SIGKILL: it can neither say nor save anything."""
        program = self._running.pop(name)
        program.send_signal(signal.SIGKILL)
        program.wait()

    def log(self, name: str) -> pathlib.Path:
        """Where a program's log is."""
        return self._folder / f"{name}.log"

    @property
    def store(self) -> tuple[str, ...]:
        """How one names the control plane's store to `perdure-server`."""
        return ("--settings", near(HERE / "settings.toml"), "--data-dir", near(self._folder / ".perdure"))

    async def perdure(self, *arguments: str, program: str = "perdure") -> Printed:
        """Runs a command of a program; says what it has printed, with its remarks where it has failed."""
        command = await asyncio.create_subprocess_exec(
            BIN / program,
            *arguments,
            env={**surroundings(os.environ), "PERDURE_SERVER": self.address},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            output, remarks = await command.communicate()
        finally:
            if command.returncode is None:
                command.kill()
        return Printed(command.returncode or 0, (output if not command.returncode else output + remarks).decode())

    def _start(self, name: str, *arguments: str) -> None:
        program = [str(BIN / "perdure-server"), *arguments, "--settings", str(HERE / "settings.toml")]
        leashed = [sys.executable, str(HERE / "leash.py"), str(os.getpid()), *program]
        with self.log(name).open("wb") as log:
            # In a group of its own, so that Ctrl-C comes to the demo alone, which ends the programs in order.
            self._running[name] = subprocess.Popen(
                leashed, env=surroundings(os.environ), stdin=subprocess.DEVNULL, stderr=log, process_group=0
            )

    async def _logged(self, name: str, event: str) -> dict[str, object]:
        """The first line of a program's log that tells of an event."""
        with self.log(name).open() as log:
            for _ in range(round(START_SECONDS / LOOK_SECONDS)):
                for line in log:
                    logged: dict[str, object] = json.loads(line) if line.startswith("{") else {}
                    if logged.get("event") == event:
                        return logged
                if self._running[name].poll() is not None:
                    break
                await asyncio.sleep(LOOK_SECONDS)
        raise ProgramFailed(f"{name} did not begin; its log is {self.log(name)}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Asks the executors to end, then the control plane, and ends whatever has not after some seconds."""
        for program in reversed(self._running.values()):
            program.terminate()
            try:
                await asyncio.to_thread(program.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
            finally:
                # A second Ctrl-C may end the waiting, and then nothing is left running either.
                if program.poll() is None:
                    program.kill()


def surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a program: without anybody's settings of Perdure, and with this Python as `python3`."""
    others = {name: value for name, value in environment.items() if not name.startswith("PERDURE_")}
    return {**others, "PATH": os.pathsep.join([str(BIN), environment.get("PATH", os.defpath)])}


def shown(arguments: tuple[str, ...], program: str) -> str:
    """A command as one would type it."""
    return shlex.join([program, *arguments])


def near(path: pathlib.Path) -> str:
    """A path as one would type it here."""
    return str(path.relative_to(pathlib.Path.cwd()) if path.is_relative_to(pathlib.Path.cwd()) else path)
