"""A trial: everything that happens after a seed."""

import asyncio
import contextlib
import random
import secrets
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

import structlog
import uuid_utils

from perdure.runlog.states import TERMINAL
from perdure.runlog.witnesses import EXECUTORS_LINE, Acknowledgement
from perdure_control_plane.storage import journal
from perdure_control_plane.storage.rebuilding import Rebuilder
from perdure_control_plane.usecases import claim_runs, fold_run
from tests.simulation.calls import Calls
from tests.simulation.database import Database, Shelf
from tests.simulation.faults import Faults
from tests.simulation.house import House
from tests.simulation.loop import PROCESS, Process, SimulatedLoop
from tests.simulation.oracle import Rest, judge, rests
from tests.simulation.people import Manner, People
from tests.simulation.record import Ids, Record
from tests.simulation.starters import Starters

EXPECTED: Final = frozenset({
    "lease.work_end_passed", "executor.ends_itself", "append.failed", "store.went_back",
})  # fmt: skip
"""Errors that programs are right to log: what they tell of was done to them."""

GROWTH: Final = 12
"""Events that make a log a long one: it has grown then, and is gone on with from its snapshot."""

REST_SECONDS: Final = 90.0
"""How long runs may take to come to rest, or to an end, once nothing goes wrong any more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial."""

    seed: int
    problems: list[str]
    hits: Counter[str]
    steps: list[str]
    digest: str
    seconds: float
    """How long it took inside."""


class Stage:
    """What trials of one process share: it is costly to make."""

    def __init__(self) -> None:
        self.shelf: Final = Shelf()
        self.rebuilder: Final = Rebuilder(self.shelf.connection)
        self.played: Final[list[SimulatedLoop]] = []
        """Loops whose killed tasks must not be closed while this process lives."""


def play(stage: Stage, seed: int, *, whole: bool = False) -> Outcome:
    """Runs the trial of a seed. `whole` keeps every step, not the last ones alone."""
    chance = random.Random(seed)
    loop = SimulatedLoop(random.Random(chance.random()))
    stage.played.append(loop)
    record = Record(loop.time, whole=[] if whole else None)
    with _by_the_seed(chance), _listening(record):
        trial = _Trial(stage, loop, record, chance)
        try:
            loop.run_until_complete(trial.run())
        except Exception as error:  # noqa: BLE001  # a trial that breaks has found something, here or in what it tries
            record.broken.append(f"the trial ended with {error!r}")
        problems = [*dict.fromkeys(record.broken), *loop.faults]
        try:
            problems += judge(stage.shelf.connection, stage.rebuilder, trial.database, record)
        except Exception as error:  # noqa: BLE001  # nor can be judged what no log can say
            problems.append(f"the trial cannot be judged: {error!r}")
    steps = record.whole if record.whole is not None else list(record.steps)
    return Outcome(seed, problems, record.hits, steps, record.digest(), loop.time())


class _Trial:
    """One trial while it goes on."""

    def __init__(self, stage: Stage, loop: SimulatedLoop, record: Record, chance: random.Random) -> None:
        self._chance, self._record, self._loop = chance, record, loop
        shared = chance.random() < 0.7
        self.database = Database(stage.shelf, loop, record, chance, shared=shared)
        self._house = House(loop, record, self.database, chance, chance.choice([2, 2, 2, 3]) if shared else 1)
        self._caller = Process(loop, "people")
        self._calls = Calls(self._caller, self._house.serving, record, chance, lambda: self.database.epoch)
        self._people = People(self._calls, record, chance)
        self.database.scheduled = chance.random() < 0.2
        self._starters = Starters(self._calls, record, chance, schedules=self.database.scheduled)
        self._lagging = chance.random() < 0.3

    async def run(self) -> None:
        """Begins, suffers, comes to rest, and ends."""
        for number in range(self._chance.randint(2, 3)):
            self._house.hire(f"executor{number + 1}")
        self._house.world.spawn(self._house.keep())
        self._caller.spawn(self._people.run())
        starting = self._caller.spawn(self._starters.run())
        faults = self._house.world.spawn(Faults(self._house, self._chance, lagging=self._lagging).run())
        self._set_rates(0.05 * self._chance.random())
        await asyncio.sleep(4 + 6 * self._chance.random())
        faults.cancel()
        self._set_rates(0.0)
        self._house.come_to_calm()
        await starting
        await self._starters.close()
        self._people.manner = Manner.AWAY
        await self._until(rests, "has come to no rest")
        self._people.manner = Manner.DUTIFUL
        await self._until(lambda rest: rest.state in TERMINAL, "has come to no end")

    def _set_rates(self, rate: float) -> None:
        self.database.rate = rate
        self._house.network.rate = self._calls.rate = 2 * rate

    async def _until(self, is_so: Any, otherwise: str) -> None:
        deadline = self._loop.time() + REST_SECONDS
        self._record.step("world", "waits until nothing " + otherwise)
        while True:
            self._house.come_to_calm()
            left = [str(rest) for rest in self._unended() if not is_so(rest)]
            left += [f"run {run_id}, whose parent has ended," for run_id in self.database.orphans()]
            if not left:
                return
            if self._loop.time() > deadline:
                self._record.broken.extend(f"{rest} {otherwise}" for rest in left)
                return
            await asyncio.sleep(0.5)

    def _unended(self) -> list[Rest]:
        run_ids = self.database.unended()
        return self.database.read(lambda tx: Rest.of_all(tx, run_ids)) if run_ids else []


@contextlib.contextmanager
def _by_the_seed(chance: random.Random) -> Iterator[None]:
    """Makes what programs draw by chance follow from the seed: ids, nonces, and the jitter of their pauses."""
    ids, state = Ids(chance), random.getstate()
    random.seed(chance.random())
    with (
        mock.patch.object(uuid_utils, "uuid7", ids.uuid7),
        mock.patch.object(secrets, "token_hex", ids.token_hex),
        mock.patch.object(journal, "GROWTH", GROWTH),
        mock.patch.object(claim_runs, "FEW", GROWTH),
        mock.patch.object(fold_run, "FEW", GROWTH),
    ):
        yield
    random.setstate(state)


@contextlib.contextmanager
def _listening(record: Record) -> Iterator[None]:
    """Takes what programs log as steps, and the errors among it, which they should not log, as problems."""

    def listen(_: object, method: str, line: Any) -> Any:
        process = PROCESS.get(None)
        who, event = process.name if process is not None else "world", line.pop("event")
        if event == EXECUTORS_LINE:
            told = Acknowledgement(line["run"], line["sequence"], line["lease"], line["ordinal"])
            record.acknowledgements.append((-1, told))
        if method in ("error", "exception", "critical") and event not in EXPECTED:
            record.broken.append(f"{who} logged {event}: {line} {_traceback(line)}")
        if event == "store.went_back" and "acknowledged" in line:
            # Servers find a standby in the primary's place by themselves, before they store what its holders say.
            record.broken.append(f"{who} heard from a holder that the store went back: {line}")
        if event == "report.received":
            record.hits["late report"] += 1
        record.step(who, event, **{name: value for name, value in line.items() if name != "exc_info"})
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[listen], wrapper_class=structlog.make_filtering_bound_logger(0))
    try:
        yield
    finally:
        structlog.configure(**before)


def _traceback(line: Any) -> str:
    return traceback.format_exc() if line.get("exc_info") else ""
