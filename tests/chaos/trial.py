"""A trial: load, people, kills, an end for everything, and the verdict."""

import asyncio
import pathlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from perdure.client import Client
from tests.chaos.evidence import Evidence, acknowledgements_in, faults_in, launches_in, read_logs, store_faults
from tests.chaos.fleet import Fleet
from tests.chaos.killer import Killer, Toll
from tests.chaos.load import Load
from tests.chaos.operators import Operators
from tests.chaos.place import Place, place
from tests.chaos.playbooks import manifests
from tests.chaos.record import Record
from tests.chaos.verdict import GUARDED, Verdict, judge

PEOPLE_DO: Final = ("decided", "resolved", "continued", "paused", "resumed")
"""What must have been done at least once in every trial."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one trial is to be."""

    toll: Toll
    seed: int
    guarded_windows: int
    """Executors that must have died inside guarded work."""
    executors: int = 4
    in_flight: int = 16
    starts_per_second: float = 5.0
    store: str = "sqlite"
    """Or postgresql."""
    patience_seconds: float = 60.0
    """How long, after the last kill, everything may take to come to an end."""


async def run_trial(trial: Trial, directory: pathlib.Path, said: Callable[[str], None]) -> tuple[Evidence, Verdict]:
    """Runs a trial below a directory. `said` is told of progress, a line each."""
    begun, ledger = time.monotonic(), directory / "ledger.jsonl"
    ledger.touch()
    async with place(trial.store) as where:
        fleet = Fleet(directory, trial.executors, where.seats, where.database)
        try:
            fleet.start()
            async with Client(fleet.address, deadline=timedelta(seconds=5)) as client:
                evidence, dealt = await _suffer(trial, where, fleet, client, ledger, said)
        finally:
            fleet.close()
        evidence.broken += await store_faults(fleet.data, where.database)
    verdict = judge(evidence)
    verdict.counts |= dealt
    verdict.seed, verdict.seconds = trial.seed, round(time.monotonic() - begun, 1)
    verdict.shortfalls += _shortfalls(trial, evidence, verdict)
    return evidence, verdict


def _shortfalls(trial: Trial, evidence: Evidence, verdict: Verdict) -> list[str]:
    """What the trial was to bring about and did not: nothing is shown by what never happened."""
    reached = verdict.windows["executor"].get(GUARDED, 0)
    short = [f"{reached} executors died inside guarded work, not {trial.guarded_windows}"]
    never = [f"nothing was ever {what}" for what in PEOPLE_DO if not evidence.people[what]]
    return never + (short if reached < trial.guarded_windows else [])


async def _suffer(
    trial: Trial, where: Place, fleet: Fleet, client: Client, ledger: pathlib.Path, said: Callable[[str], None]
) -> tuple[Evidence, dict[str, int]]:
    record, chance = Record(), random.Random(trial.seed)
    load = Load(client, record, random.Random(chance.random()), trial.in_flight, trial.starts_per_second)
    people = Operators(client, record, random.Random(chance.random()))
    killer = Killer(client, fleet, where, ledger, random.Random(chance.random()), trial.toll, said)
    await load.publish(manifests(ledger))
    enough, over = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        loading = tasks.create_task(load.run(enough))
        tasks.create_task(people.run(over))
        await killer.run()
        await _until_done(people, trial.patience_seconds)
        enough.set()
        await loading
        people.stops = False
        await _until_over(load, fleet, trial.patience_seconds, said)
        over.set()
    fleet.look()
    fleet.unasked.extend(f"{program.name} was asked to end and did not" for program in fleet.leaving)
    evidence = Evidence(
        logs=await read_logs(client),
        acknowledgements=acknowledgements_in(fleet.logs("executor")),
        launches=launches_in(ledger),
        told=record.told,
        broken=record.broken + fleet.unasked + faults_in(fleet.logs()),
        people=people.did,
        executor_kills=fleet.executor_kills,
        server_kills=fleet.server_kills,
    )
    return evidence, killer.dealt


async def _until_done(people: Operators, patience: float) -> None:
    """Returns when the people have done everything once, or when patience ends; load goes on until then."""
    deadline = asyncio.get_running_loop().time() + patience
    while asyncio.get_running_loop().time() < deadline:
        if all(people.did[what] for what in PEOPLE_DO):
            return
        await asyncio.sleep(0.2)


async def _until_over(load: Load, fleet: Fleet, patience: float, said: Callable[[str], None]) -> None:
    """Returns when nothing has been under way for a moment, or when patience ends; the verdict says which."""
    deadline = asyncio.get_running_loop().time() + patience
    quiet = 0
    while quiet < 3 and asyncio.get_running_loop().time() < deadline:
        fleet.fill()
        under_way = await load.under_way() + len(fleet.leaving)
        quiet = 0 if under_way else quiet + 1
        said(f"{load.started} flows started, {under_way} under way")
        await asyncio.sleep(0.5)
