"""The programs that are asked: a control plane and an executor as processes, their logs, and who may call them."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

PROGRAM: Final = pathlib.Path(sys.executable).with_name("perdure-server")
ISSUER: Final = "https://id.example"
AUDIENCE: Final = "perdure"
OWN: Final = ECKey.generate_key("P-256", parameters={"kid": "one"})
OTHER: Final = ECKey.generate_key("P-256", parameters={"kid": "two"})
"""One whose public half the server does not know."""
ROLES: Final = ("admin", "author", "operator", "reviewer", "executor", "service", "viewer")
_FUNCTIONS: Final = pathlib.Path(__file__).with_name("functions.py")
_ENVIRONMENT: Final = {
    "PERDURE_CONTROL_PLANE_JWT_ISSUER": ISSUER,
    "PERDURE_CONTROL_PLANE_JWT_AUDIENCE": AUDIENCE,
    "PERDURE_CONTROL_PLANE_JWT_ROLES": ",".join(f"the-{role}={role}" for role in ROLES),
    "PERDURE_CONTROL_PLANE_AUTHENTICATION": "required",
    "PERDURE_CONTROL_PLANE_SWEEP_SECONDS": "0.2",
    "PERDURE_CONTROL_PLANE_ASSIGNMENT_ACK_SECONDS": "2",
}


OF_EXECUTORS: Final = ("store.went_back", "append.failed")
"""Errors that are an executor's own, and rightly logged: that the store lacks what it had acknowledged, and events that no
table takes, which are refused."""


def claims(subject: str, role: str) -> dict[str, object]:
    """What a good token of an identity provider says."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "exp": now + 80_000,
        "nbf": now - 60,
        "roles": [f"the-{role}"],
    }


def signed(held: object, key: ECKey = OWN, **header: object) -> str:
    """A token of an identity provider; good, where what it holds is."""
    return jwt.encode({"alg": "ES256", "kid": key.kid, **header}, held, key, algorithms=["ES256"])  # type: ignore[arg-type]


@dataclass
class Log:
    """What a program says, and what of it no program should say."""

    path: pathlib.Path
    _read: int = 0
    _rest: bytes = b""

    def faults(self) -> list[str]:
        """Errors and tracebacks since the last look."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        self._read += len(text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        return [words for line in lines if (words := _fault(line.decode(errors="replace")))]


def _fault(line: str) -> str:
    try:
        said = json.loads(line)
    except ValueError:
        return line
    if said.get("event") in OF_EXECUTORS:
        return ""
    return line if said.get("level") in ("error", "critical") or "exception" in said else ""


@dataclass
class Servers:
    """Control planes and an executor at work."""

    directory: pathlib.Path
    database: str
    """Empty for SQLite below the directory."""
    replicas: int = 1
    """How many control planes; more than one on PostgreSQL only."""
    functions: pathlib.Path = _FUNCTIONS
    """What the executor is started with."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """And what it finds in its environment."""
    addresses: list[str] = field(default_factory=list)
    """Where the control planes listen, once they serve."""
    audited: list[Any] = field(default_factory=list)
    """The first export of the audit trail, for whoever asks these servers later."""
    _programs: "list[tuple[str, subprocess.Popen[bytes]]]" = field(default_factory=list)
    _logs: list[Log] = field(default_factory=list)

    def faults(self) -> list[str]:
        """What the programs have said since the last look that they should not, and which of them have ended."""
        ended = [
            f"{name} ended with {process.returncode}" for name, process in self._programs if process.poll() is not None
        ]
        return [*ended, *(words for log in self._logs for words in log.faults())]

    def start(self) -> None:
        """Returns when the control planes serve."""
        published = self.directory / "provider.json"
        published.write_text(json.dumps(KeySet([OWN]).as_dict(private=False)))
        environment = {**_ENVIRONMENT, "PERDURE_CONTROL_PLANE_JWT_KEYS": str(published), **self._store}
        created = subprocess.run(
            [PROGRAM, "keys", "create", "executor", "--role", "executor"],
            env={**os.environ, **environment}, capture_output=True, text=True,
        )  # fmt: skip
        if created.returncode:
            raise RuntimeError(created.stderr)
        timing = ("--lease-seconds", "3", "--heartbeat-seconds", "0.5", "--stop-grace-seconds", "2")
        for _ in range(self.replicas):
            log = self._spawn("control-plane", ("--port", "0", *timing), environment)
            self.addresses.append(self._address_in(log))
        address = f"ipv4:{','.join(self.addresses)}" if self.replicas > 1 else self.address
        functions = ("--functions", str(self.functions), "--workspace", str(self.directory))
        server = ("--server", address, "--name", "worker", "--drain-seconds", "1")
        key = {"PERDURE_EXECUTOR_KEY": created.stdout.strip(), "PERDURE_EXECUTOR_TLS_CA": "none"}
        self._spawn("executor", (*server, *functions), {**key, **self.environment})

    def stop(self) -> list[str]:
        """Asks the programs to end, the executor first; what they say while they do."""
        said = []
        for name, process in reversed(self._programs):
            process.terminate()
            try:
                code = process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            if code:
                said.append(f"{name} ended with {code} when it was asked to stop")
        self._programs.clear()
        return [*said, *self.faults()]

    def kill(self, kind: str) -> None:
        """Ends the programs of a kind at once."""
        for name, process in self._programs:
            if name == kind:
                process.kill()
                process.wait()

    def check(self, lied_about: frozenset[str] = frozenset()) -> str:
        """What the check of the store finds, but for rules that an executor may have lied about; empty where nothing is
        wrong."""
        checked = subprocess.run([PROGRAM, "check"], env={**os.environ, **self._store}, capture_output=True, text=True)
        if checked.returncode not in (0, 1):
            return checked.stderr
        broken = set(re.findall(r"^([A-Z_]+) +violated", checked.stdout, re.MULTILINE)) - lied_about
        return checked.stdout if broken else ""

    @property
    def address(self) -> str:
        """Where the first of the control planes listens."""
        return self.addresses[0]

    def _address_in(self, log: pathlib.Path) -> str:
        """Where the last program that was started listens, when it does. Raises RuntimeError where it ends before."""
        while True:
            for line in log.read_text().splitlines():
                if '"server.started"' in line:
                    return str(json.loads(line)["address"])
            if self._programs[-1][1].poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.02)

    @property
    def _store(self) -> dict[str, str]:
        named = {"PERDURE_CONTROL_PLANE_DATA_DIR": str(self.directory / "data")}
        return {**named, "PERDURE_CONTROL_PLANE_DATABASE": self.database} if self.database else named

    def _spawn(self, kind: str, flags: tuple[str, ...], environment: dict[str, str]) -> pathlib.Path:
        path = self.directory / f"{kind}-{len(self._logs)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [PROGRAM, kind, *flags, "--log-format", "json"],
                env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._programs.append((kind, process))
        self._logs.append(Log(path))
        return path


@contextlib.contextmanager
def servers(directory: pathlib.Path, database: str = "") -> Iterator[Servers]:
    """Servers that are ended whatever happens."""
    started = Servers(directory, database)
    try:
        started.start()
        yield started
    finally:
        started.stop()
