"""One measurement: queue runs, let an executor loose on them, and read from the log how fast it grew."""

import asyncio
import contextlib
import json
import os
import pathlib
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from perdure.client import Client
from perdure.runlog.kinds import KIND_NUMBERS
from perdure.v1 import flows_pb2, playbooks_pb2, run_states_pb2, runs_pb2, sessions_pb2

HERE: Final = pathlib.Path(__file__).parent
PROGRAM: Final = pathlib.Path(sys.executable).parent / "perdure-server"
NODES: Final = 10
STARTS_AT_ONCE: Final = 64
LOOK_EVERY_SECONDS: Final = 0.25
LIMIT_SECONDS: Final = 120.0
RAMP: Final = 0.1
"""Part of the nodes at either end that is not counted: runs come and go there, fewer than asked for at once."""


@dataclass(frozen=True)
class Measured:
    """What a measurement gave. Cores are processor time over the time it took."""

    nodes_per_second: float
    seconds: float
    events_per_commit: float
    server_cores: float
    executor_cores: float


@dataclass(frozen=True)
class Workload:
    """`runs` runs of ten nodes that call a function of functions.py, `inflight` of them at a time."""

    function: str
    effect: str
    inflight: int
    runs: int


async def measure(directory: pathlib.Path, workload: Workload) -> Measured:
    """Does the work in a new store below `directory`."""
    data = directory / "data"
    async with _program("control-plane", "--data-dir", str(data), "--port", "0") as server:
        address = await _address(server)
        async with Client(address) as perdure:
            await _queue(perdure, _manifest(workload), workload.runs)
            before = _cpu_seconds(server.pid)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            flags = ["--server", address, "--slots", str(workload.inflight), "--functions", str(HERE / "functions.py")]
            async with _program("executor", *flags) as executor:
                await _all_ended(perdure)
                seconds = loop.time() - begun
                cores = (_cpu_seconds(server.pid) - before) / seconds, _cpu_seconds(executor.pid) / seconds
    rate, span, per_commit = _read_log(data / "perdure.db", workload.runs * NODES)
    return Measured(rate, span, per_commit, *cores)


def _manifest(workload: Workload) -> bytes:
    nodes = [
        {"id": f"n{number}", "type": "function", "function": workload.function, "effect": workload.effect}
        for number in range(NODES)
    ]
    manifest = {"playbook_id": "bench", "version": "1.0.0", "title": "Bench", "objective": "Measure", "nodes": nodes}
    return json.dumps(manifest).encode()


async def _queue(perdure: Client, manifest: bytes, runs: int) -> None:
    document = playbooks_pb2.PlaybookDocument(text=manifest)
    version = await perdure.playbooks.CreatePlaybookVersion(
        playbooks_pb2.CreatePlaybookVersionRequest(document=document)
    )
    evidence = [playbooks_pb2.Evidence(kind="review", id="bench")]
    await perdure.playbooks.PublishPlaybookVersion(
        playbooks_pb2.PublishPlaybookVersionRequest(name=version.name, digest=version.digest, evidence=evidence)
    )
    await perdure.sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id="bench"))
    free = asyncio.Semaphore(STARTS_AT_ONCE)

    async def start(number: int) -> None:
        request = flows_pb2.StartFlowRequest(
            playbook_version=version.name,
            digest=version.digest,
            session="sessions/bench",
            idempotency_key=f"bench-{number}",
        )
        async with free:
            await perdure.flows.StartFlow(request)

    async with asyncio.TaskGroup() as starts:
        for number in range(runs):
            starts.create_task(start(number))


async def _all_ended(perdure: Client) -> None:
    unended = [run_states_pb2.RUN_STATE_QUEUED, run_states_pb2.RUN_STATE_RUNNING, run_states_pb2.RUN_STATE_PAUSED]
    request = runs_pb2.ListRunsRequest(states=unended, page_size=1)
    async with asyncio.timeout(LIMIT_SECONDS):
        while (await perdure.runs.ListRuns(request)).runs:  # noqa: ASYNC110  # no call waits for thousands of runs
            await asyncio.sleep(LOOK_EVERY_SECONDS)


def _read_log(path: pathlib.Path, nodes: int) -> tuple[float, float, float]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        settled = database.execute(
            "SELECT stored_at FROM run_events WHERE kind = ? ORDER BY stored_at", (KIND_NUMBERS["node_settled"],)
        ).fetchall()
        if len(settled) != nodes:
            raise SystemExit(f"{len(settled)} nodes were executed; {nodes} were asked for")
        first, last = (settled[int(nodes * part)][0] for part in (RAMP, 1 - RAMP))
        inside = (first, last)
        count, commits = database.execute(
            "SELECT count(*), count(DISTINCT stored_at) FROM run_events WHERE stored_at BETWEEN ? AND ?", inside
        ).fetchone()
    seconds = (last - first) / 1e6
    return nodes * (1 - 2 * RAMP) / seconds, seconds, count / commits


def _cpu_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def _program(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    program = await asyncio.create_subprocess_exec(
        PROGRAM, *arguments, "--log-format", "json", stderr=asyncio.subprocess.PIPE, limit=1 << 20
    )
    try:
        yield program
    finally:
        program.terminate()
        await program.communicate()


async def _address(server: asyncio.subprocess.Process) -> str:
    assert server.stderr is not None
    async for line in server.stderr:
        entry: dict[str, Any] = json.loads(line)
        if entry["event"] == "server.started":
            return str(entry["address"])
    raise SystemExit("the control plane did not start")
