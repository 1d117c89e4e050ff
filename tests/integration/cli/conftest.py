"""What tests of the command line are given: a server and the programs, each a process of its own."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.testing import CliRunner

from perdure.cli.main import app

PROGRAMS = pathlib.Path(sys.executable).parent
PATIENCE = 50.0


@dataclass
class Server:
    """`perdure-server up` as a process, which can be ended and started again on its store and port."""

    directory: pathlib.Path
    flags: tuple[str, ...] = ()
    port: int = 0
    process: "subprocess.Popen[str] | None" = None
    _listening: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> pathlib.Path:
        return self.directory / "data"

    @property
    def log(self) -> pathlib.Path:
        return self.directory / "server.log"

    def start(self) -> "Server":
        """Starts it and returns when it listens."""
        command = [PROGRAMS / "perdure-server", "up", "--port", str(self.port), "--data-dir", self.data_dir]
        command += ["--workspace", self.directory, "--log-format", "json", "--log-level", "debug", *self.flags]
        environment = surroundings(self.directory) | {"PERDURE_EXECUTOR_KILL_GRACE_SECONDS": "0.1"}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self._listening.clear()
        self._copying = threading.Thread(target=self._copy_log, args=(self.process,))
        self._copying.start()
        assert self._listening.wait(PATIENCE), self.log.read_text()
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it, and returns when it is gone."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait()
        self._copying.join()

    def _copy_log(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        with self.log.open("a") as log, process.stderr:
            for line in process.stderr:
                log.write(line)
                log.flush()
                if '"server.started"' in line:
                    self.port = int(json.loads(line)["address"].rpartition(":")[2])
                    self._listening.set()


@dataclass(frozen=True)
class Told:
    """What a program said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Perdure:
    """Runs `perdure` against a server."""

    server: Server
    begun: list["subprocess.Popen[str]"] = field(default_factory=list)

    def __call__(self, *arguments: object, stdin: str = "") -> Told:
        """Runs a command to its end, within this process, which saves the time of its imports."""
        empty = self.server.directory / "empty.toml"
        empty.touch()
        settings = {"PERDURE_SERVER": self.server.address, "PERDURE_CONFIG": str(empty), "COLUMNS": "100"}
        settings["PERDURE_PROFILES"] = os.environ.get("PERDURE_PROFILES", str(self.server.directory / "profiles.json"))
        settings |= {"PERDURE_TRACEBACK": "1"}  # what nobody expected fails the test as it is
        done = CliRunner().invoke(app, list(map(str, arguments)), stdin, settings, prog_name="perdure")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Told(done.exit_code, done.stdout, done.stderr)

    def apart(self, *arguments: object, **environment: str) -> Told:
        """Runs a command to its end as a process of its own."""
        settings = {**self.environment(), **environment}
        streams: dict[str, Any] = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
        done = subprocess.run(self.command(arguments), env=settings, timeout=PATIENCE, **streams)
        return Told(done.returncode, done.stdout, done.stderr)

    def into(self, output: str | None, *arguments: object) -> Told:
        """Runs a command as a process of its own whose standard output is a file, or closed."""
        redirection = ">&-" if output is None else f'> "{output}"'
        streams: dict[str, Any] = {"stderr": subprocess.PIPE, "text": True, "stdin": subprocess.DEVNULL}
        shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *self.command(arguments)]
        done = subprocess.run(shell, env=self.environment(), timeout=PATIENCE, **streams)
        return Told(done.returncode, "", done.stderr)

    def done(self, *arguments: object, **options: str) -> Any:
        """Runs a command with `-o json` that must succeed, and returns the document that it printed."""
        told = self(*arguments, "-o", "json", **options)
        assert told.code == 0, told
        return told.document

    def begin(self, *arguments: object) -> "subprocess.Popen[str]":
        """Starts a command and returns while it runs; what is left of it is ended with the test."""
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.begun.append(subprocess.Popen(self.command(arguments), env=self.environment(), **streams))
        return self.begun[-1]

    def publish(self, manifest: str) -> dict[str, Any]:
        """Stores and publishes a manifest, and makes the session `ops`; the version as proto JSON."""
        created = self.done("playbooks", "create", "--manifest-file", "-", stdin=manifest)
        evidence = '[{"kind": "review", "id": "CHG-1"}]'
        version: dict[str, Any] = self.done(
            "playbooks", "publish", created["name"], "--digest", created["digest"], "--evidence-refs-json", evidence
        )
        self.done("sessions", "create", "ops")
        return version

    def start(self, version: dict[str, Any], *arguments: str) -> Told:
        """`flows start` of a version in the session `ops`."""
        _, playbook, _, number = version["name"].split("/")
        which = ["--playbook-id", playbook, "--version", number, "--digest", version["digest"]]
        return self("flows", "start", *which, "--session-id", "ops", *arguments)

    def command(self, arguments: tuple[object, ...]) -> list[str]:
        """What starts a command as a process of its own."""
        return [str(PROGRAMS / "perdure"), *map(str, arguments)]

    def environment(self) -> dict[str, str]:
        """The environment of such a process."""
        return surroundings(self.server.directory) | {"PERDURE_SERVER": self.server.address}


def surroundings(home: pathlib.Path) -> dict[str, str]:
    """An environment without anybody's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PERDURE_", "XDG_"))}
    return kept | {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "COLUMNS": "100"}


@contextlib.contextmanager
def running(directory: pathlib.Path, *flags: str) -> Iterator[Server]:
    """A server that is ended at last."""
    server = Server(directory, flags).start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.end()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def perdure(shared_server: Server) -> Iterator[Perdure]:
    """The command line, and a server that the tests of one file share."""
    with ending(Perdure(shared_server)) as program:
        yield program


@pytest.fixture
def own(tmp_path: pathlib.Path) -> Iterator[Callable[..., Perdure]]:
    """Makes a command line with a server that is the test's own."""
    with contextlib.ExitStack() as stack:

        def make(*flags: str) -> Perdure:
            server = stack.enter_context(running(tmp_path, *flags))
            return stack.enter_context(ending(Perdure(server)))

        yield make


@contextlib.contextmanager
def ending(program: Perdure) -> Iterator[Perdure]:
    """Ends what a program has begun and is still running."""
    yield program
    for process in program.begun:
        if process.poll() is None:
            process.kill()
        process.communicate()
