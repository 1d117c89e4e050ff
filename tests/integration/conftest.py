"""What integration tests are given: executors that are processes of their own, to be killed."""

import asyncio
import contextlib
import hashlib
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import pytest

from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.plans import read_plan
from perdure.v1 import execution_pb2, execution_pb2_grpc, runs_pb2
from perdure.v1.execution_pb2 import WorkRequest
from tests.integration.played import Played

LOOK_SECONDS = 0.02
PULSE = {"executors.renewed_at", "executors.lease_until", "sweeps", "outages", "audit_chain", "audit_heads"}
PULSE |= {"approval_changes_end", "approval_changes.position"}
PULSE |= {f"audit_events.{name}" for name in ("position", "previous_hash", "hash")}
"""Tables and columns that a server writes by itself as time goes by."""
PROGRAM = pathlib.Path(sys.executable).with_name("perdure-server")
FLAKY = """
playbook_id: flaky
version: 1.0.0
title: Flaky
objective: Fail once
nodes:
  - id: flaky
    type: function
    function: flaky
    effect: none
    retry: {initial_seconds: 3600, maximum_seconds: 3600, jitter: 0}
    on_failure: {max_iterations: 2}
"""
LASTING = """
playbook_id: lasting
version: 1.0.0
title: Lasting
objective: Print a line and stay
nodes:
  - {id: stay, type: deterministic, shell: true, command: echo up; sleep 600, effect: none}
"""


def rows_of(data_dir: pathlib.Path) -> dict[str, tuple[int, str]]:
    """How many rows each table of a store has, and a digest of what is in them, but for the server's pulse."""
    (file,) = data_dir.glob("*.db")
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)) as database:
        database.execute("BEGIN")
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert {"runs", "run_events", "run_queue", "flows", "approvals", "executors", "sweeps"} <= set(tables)
        return {table: _digest_of(database, table) for table in tables if table not in PULSE}


def _digest_of(database: sqlite3.Connection, table: str) -> tuple[int, str]:
    columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
    still = ", ".join(name for name in columns if f"{table}.{name}" not in PULSE)
    rows = database.execute(f"SELECT {still} FROM {table} ORDER BY {still}").fetchall()
    return len(rows), hashlib.sha256(repr(rows).encode()).hexdigest()


@pytest.fixture
def trying_again() -> str:
    """A playbook whose only function is tried again an hour after it has failed."""
    return FLAKY


@pytest.fixture
def lasting() -> str:
    """A playbook whose only command says that it is up, and stays."""
    return LASTING


@pytest.fixture(scope="session")
def rows_in() -> Callable[[pathlib.Path], dict[str, tuple[int, str]]]:
    return rows_of


@dataclass
class ExecutorProcess:
    """An executor as a process."""

    process: "subprocess.Popen[bytes]"
    logs: pathlib.Path

    def kill(self) -> None:
        """Ends it at once: it can say nothing any more."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def log_lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.logs.read_text().splitlines()]


@dataclass
class Employer:
    """Starts executors and ends those that a test leaves running."""

    tmp_path: pathlib.Path
    started: list[ExecutorProcess] = field(default_factory=list)

    def __call__(self, service: Any, name: str, *flags: str, **environment: str) -> ExecutorProcess:
        """Starts one that works for a service. It need not be connected yet; runs wait for it."""
        logs = self.tmp_path / f"{name}.log"
        command = [PROGRAM, "executor", "--server", service.address, "--name", name, "--log-format", "json"]
        command += ["--workspace", str(self.tmp_path), "--drain-seconds", "1", *flags]
        with logs.open("wb") as log:
            process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=log)
        self.started.append(ExecutorProcess(process, logs))
        return self.started[-1]


@pytest.fixture
async def employ(tmp_path: pathlib.Path) -> AsyncIterator[Callable[..., ExecutorProcess]]:
    employer = Employer(tmp_path)
    yield employer
    for executor in employer.started:
        if executor.process.poll() is None:
            executor.process.terminate()
            executor.process.send_signal(signal.SIGCONT)  # a test that failed may have left it suspended
        # In a thread, for the server that it says goodbye to may be in this process.
        await asyncio.to_thread(executor.process.wait)


@pytest.fixture
def violations() -> Callable[[Any, str], Awaitable[list[Violation]]]:
    """What the checker finds in the log of a run, as the server gives it."""
    return _violations


async def _violations(service: Any, run: str) -> list[Violation]:
    plan = await service.runs.GetRunPlan(runs_pb2.GetRunPlanRequest(name=run))
    checker = LogChecker(run.removeprefix("runs/"), read_plan(plan.plan, plan.digest), plan.digest)
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=run, page_size=500))
    for recorded in listed.events:
        checker.take(recorded)
    checker.finish(await service.runs.GetRun(runs_pb2.GetRunRequest(name=run)))
    return checker.violations


@pytest.fixture
def running_below() -> Callable[[pathlib.Path], list[str]]:
    """Tells which processes work in a folder or below it, by their command lines."""
    if not pathlib.Path("/proc/self/cwd").exists():
        pytest.skip("only Linux tells where processes work")
    return _running_below


@pytest.fixture
def nothing_runs_below(running_below: Callable[[pathlib.Path], list[str]]) -> Callable[..., Awaitable[None]]:
    """Returns when no process works in a folder any more; the test's own time limit bounds it."""

    async def wait(folder: pathlib.Path) -> None:
        while running_below(folder):  # noqa: ASYNC110  # the system tells nobody of the end of others' processes
            await asyncio.sleep(LOOK_SECONDS)

    return wait


def _running_below(folder: pathlib.Path) -> list[str]:
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended, or is not ours to look into
    return found


@pytest.fixture
def play(stack: AsyncExitStack) -> Any:
    """Opens a stream as an executor: one of the same process, if opened twice under a name."""

    async def connect(service: Any, name: str = "x") -> Played:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(service.address))
        call = execution_pb2_grpc.ExecutionServiceStub(channel).Work()
        stack.callback(call.cancel)
        versions = execution_pb2.VersionRange(lowest=1, highest=1)
        hello = execution_pb2.Hello(
            executor_id=name, incarnation=f"{name}-process", protocol=versions, fold=versions,
            queues=["default"], slots=1,
        )  # fmt: skip
        await call.write(WorkRequest(hello=hello))
        return Played(call, (await call.read()).welcome)

    return connect
