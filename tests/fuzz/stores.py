"""Portions of cases, in processes that have servers and a store of their own."""

import asyncio
import contextlib
import multiprocessing
import pathlib
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from perdure_services import process  # noqa: F401  # first: it sets what gRPC reads when it is imported
from tests.fuzz.case import Outcome
from tests.fuzz.run import AT_ONCE, Failure, Tally, play_portion
from tests.fuzz.servers import servers
from tests.postgres import postgres_server

STORES: Final = {"sqlite": ["sqlite"], "postgresql": ["postgresql"], "both": ["sqlite", "postgresql"]}
LIED_ABOUT: Final = frozenset({"PLAN", "STATE", "SETTLED_ONCE", "FACT", "DIGEST", "TREE"})
"""Rules that are broken by executors that report what their run's plan does not allow, as those that are played here do."""
MOST_FAILURES: Final = 20
"""Of a process; then it plays no more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be played."""

    seed: int
    cases: int
    case: int | None
    """This one alone, after those of its portion before it; None for all."""
    processes: int
    only: list[str]


def play_store(store: str, given: Asked, say: Callable[..., None]) -> Tally:
    """Plays what is asked for on a kind of store, until all is played or enough has failed."""
    if given.case is not None:
        portions = [range(given.case - given.case % AT_ONCE, given.case + 1)]
    else:
        portions = [range(first, min(first + AT_ONCE, given.cases)) for first in range(0, given.cases, AT_ONCE)]
    whole = Tally()
    shares = [share for at in range(given.processes) if (share := portions[at :: given.processes])]
    with _databases(store, len(shares)) as databases, contextlib.ExitStack() as stack:
        context = multiprocessing.get_context("spawn")
        said: Any = context.Queue()
        work = [(url, given.seed, share, given.only, said) for url, share in zip(databases, shares, strict=True)]
        # One alone needs no process of its own.
        worker: Any = context.Process if len(work) > 1 else threading.Thread
        workers = [worker(target=_work, args=arguments) for arguments in work]
        for worker in workers:
            worker.start()
            stack.callback(worker.join)
        ended = 0
        while ended < len(workers):
            item = _heard(said, workers)
            if isinstance(item, Tally):
                whole.add(item)
                say(*(failure.outcome.fault for failure in item.failures if failure.kind == "servers"))
                say(f"{whole.cases} cases, {len(whole.failures)} failed")
            elif item is None:
                ended += 1
            else:
                say(item)
    return whole


def _heard(said: Any, workers: list[Any]) -> Any:
    """What one of those who play says next.

    Raises RuntimeError if none of them is there any more and nothing is left to hear.
    """
    while True:
        at_work = any(worker.is_alive() for worker in workers)
        with contextlib.suppress(queue.Empty):
            return said.get(timeout=1)
        if not at_work:
            raise RuntimeError("what plays has ended, and has not said what came of it")


@contextlib.contextmanager
def _databases(store: str, count: int) -> Iterator[list[str]]:
    """A database for each process; empty names for SQLite, which has its own below a directory."""
    if store == "sqlite":
        yield [""] * count
        return
    with postgres_server({"fsync": "off"}) as server:
        yield [asyncio.run(server.make_empty()).render_as_string(hide_password=False) for _ in range(count)]


def _work(database: str, seed: int, portions: list[range], only: list[str], said: Any) -> None:
    """Plays portions on servers and a store of its own, which is checked at the end."""
    directory, failed = pathlib.Path(tempfile.mkdtemp(prefix="perdure-fuzz-")), 0
    try:
        with servers(directory, database) as started:
            for numbers in portions:
                try:
                    tally = play_portion(started, directory, seed, numbers, only, said.put)
                except Exception as error:  # noqa: BLE001  # a fault, of the servers or of the run itself; the next goes on
                    tally = _broken(f"case {numbers.start} and on: {type(error).__name__}: {error}")
                failed += len(tally.failures)
                said.put(tally)
                if failed >= MOST_FAILURES:
                    said.put(f"{failed} failed; the rest is not played")
                    break
            for fault in (*started.stop(), *filter(None, [started.check(LIED_ABOUT)])):
                said.put(_broken(fault))
                failed += 1
    except Exception as error:  # noqa: BLE001  # said, and counted as a failure; the others go on
        said.put(_broken(f"{type(error).__name__}: {error}"))
        failed += 1
    finally:
        if failed:
            said.put(f"logs and data: {directory}")
        else:
            shutil.rmtree(directory)
        said.put(None)


def _broken(fault: str) -> Tally:
    """What is wrong with the servers or their store, when no case is played."""
    return Tally(failures=[Failure(-1, "servers", Outcome("servers", "", fault=fault))])
