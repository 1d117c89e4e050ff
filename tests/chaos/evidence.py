"""What a trial leaves behind: the logs as the server gives them, and what was seen outside of it."""

import asyncio
import json
import os
import pathlib
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from perdure.client import Client, pages
from perdure.runlog.witnesses import (
    EXECUTORS_LINE,
    Acknowledgement,
    Launch,
    read_acknowledgements,
    read_launches,
)
from perdure.v1 import runs_pb2
from perdure.v1.run_events_pb2 import RecordedEvent
from tests.chaos.fleet import Kill
from tests.chaos.record import Told

LAPSED: Final = frozenset({"lease.work_end_passed", "executor.ends_itself"})
"""Errors that executors are right to log: their lease was over while they were frozen or had no server."""


@dataclass(slots=True)
class RunLog:
    """One run as the server shows it, with its plan and every event."""

    run: runs_pb2.Run
    plan: runs_pb2.RunPlan
    events: list[RecordedEvent]

    @property
    def run_id(self) -> str:
        """Its id."""
        return self.run.name.removeprefix("runs/")


@dataclass(slots=True)
class Evidence:
    """Everything a verdict is found on. A witness that is None was not there."""

    logs: list[RunLog]
    acknowledgements: list[Acknowledgement] | None
    """As executors saw them."""
    launches: list[Launch] | None
    """As the ledger saw them."""
    told: list[Told] | None
    """As the driver was told."""
    broken: list[str] = field(default_factory=list)
    """What no server and no executor should do, in words."""
    people: Counter[str] = field(default_factory=Counter)
    """What the people among the drivers did, and how often."""
    executor_kills: list[Kill] = field(default_factory=list)
    server_kills: list[Kill] = field(default_factory=list)


async def read_logs(client: Client) -> list[RunLog]:
    """Every run of a server, with its log."""
    request = runs_pb2.ListRunsRequest(page_size=100)
    runs = [run async for page in pages(client.runs.ListRuns, request) for run in page.runs]
    return [await _read_log(client, run) for run in runs]


async def _read_log(client: Client, run: runs_pb2.Run) -> RunLog:
    plan = await client.runs.GetRunPlan(runs_pb2.GetRunPlanRequest(name=run.name))
    request = runs_pb2.ListRunEventsRequest(name=run.name, page_size=1000)
    events = [event async for page in pages(client.runs.ListRunEvents, request) for event in page.events]
    return RunLog(run, plan, events)


def acknowledgements_in(logs: Iterable[pathlib.Path]) -> list[Acknowledgement]:
    """What executors were told, from their logs."""
    found = []
    for path in logs:
        with path.open(encoding="utf-8", errors="replace") as lines:
            found += read_acknowledgements(line for line in lines if EXECUTORS_LINE in line)
    return found


def launches_in(ledger: pathlib.Path) -> list[Launch]:
    """What the target of guarded effects saw."""
    with ledger.open(encoding="utf-8") as lines:
        return read_launches(lines)


def faults_in(logs: Iterable[pathlib.Path]) -> list[str]:
    """What programs logged that they should never have to: errors, and exceptions nobody caught."""
    found = []
    for path in logs:
        with path.open(encoding="utf-8", errors="replace") as lines:
            found += [f"{path.name}: {line.strip()}" for line in lines if _is_fault(line)]
    return found


async def store_faults(data: pathlib.Path, database: str) -> list[str]:
    """What `perdure-server check` finds in a store that no server has open: tables that are not what the logs give."""
    arguments = ["-m", "perdure_services.main", "check", "--data-dir", str(data), "--output", "json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PERDURE_CONTROL_PLANE_DATABASE": database},
    )
    printed, _ = await process.communicate()
    found = json.loads(printed)
    faults = [f"{fault['run']}: {fault['rule']}: {fault['message']}" for fault in found["violations"]]
    return faults if found["runs"] else ["the store that was left behind has no runs"]


def _is_fault(line: str) -> bool:
    try:
        said = json.loads(line)
    except ValueError:
        return "Traceback" in line
    return said.get("level") in ("error", "critical") and said.get("event") not in LAPSED
