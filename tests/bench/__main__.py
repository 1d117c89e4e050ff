"""The benchmark: `make bench`.

Measures real processes on a real disk, a control plane and its executors, on SQLite, on PostgreSQL, or on both. A figure
is the median of three rounds. Throughput stands beside a ceiling that is measured just before: the fastest that the same
database takes the same rows from a program that does nothing else. Prints a table and writes `build/bench.json`, a list of
`{store, case, name, value, unit, ceiling, ratio}`.

cases (a name, or what a name begins with up to a `-`):
  strict-N, pipelined-N     nodes and completed runs a second, N runs in flight: 1, 100, 1000, 10000
  strict-output-1000        the same with nodes that return something: three events a node instead of two
  start, decision           from a start to the first node; from a decision to the node behind the gate
  takeover                  from the death of an executor, lease three seconds, to the work of another
  watch-N                   events a second to N watchers: 1, 10, 100
  paused                    runs that wait for a decision: memory, time to list, time to wake all
  history-N                 one run of N events: bytes and milliseconds an event, and to go on: 100, 10000, 100000
  peers                     the same ten nodes on DBOS and LangGraph, on the same PostgreSQL; BENCH_PEERS=1 adds it

PostgreSQL is the server that PERDURE_TEST_POSTGRES names, where databases are made and dropped, or one that is started
for the benchmark, with settings that suit the load, and ends with it.
"""

import argparse
import asyncio
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Final, Protocol

from tests.bench.figures import Figure, median_of, table
from tests.bench.histories import History
from tests.bench.latencies import Latency
from tests.bench.paused import Paused
from tests.bench.peers import Peers
from tests.bench.target import Stores
from tests.bench.throughput import Throughput
from tests.bench.watching import Watching
from tests.postgres import PostgresServer, postgres_server

STORES: Final = ("sqlite", "postgresql")
DEFAULT: Final = ("strict-1", "strict-1000", "pipelined-1", "pipelined-1000", "start", "decision", "watch-10")
"""The cases that are measured where none are named: together under five minutes."""
GATES: Final = {("postgresql", "strict-1000", "nodes"): 0.13}
"""The least ratio to the ceiling, where one is demanded."""
RUNS: Final = {1: 200, 100: 1000, 1000: 5000, 10_000: 15_000}
"""How many runs are measured with so many in flight."""
SETTINGS: Final = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min", "jit": "off"}
"""What a PostgreSQL that is started for the benchmark is given; every commit is on the disk, as by default."""


class Case(Protocol):
    """Something to measure."""

    @property
    def name(self) -> str: ...
    async def measure(self, store: str, stores: Stores, directory: pathlib.Path) -> list[Figure]: ...


def cases(scale: float, paused: int) -> list[Case]:
    """Every case; `scale` multiplies how much each does, and `paused` is how many runs wait."""

    def scaled(count: int, least: int = 1) -> int:
        return max(least, round(count * scale))

    throughput = [
        Throughput(mode, inflight, scaled(runs, min(inflight, 2) if scale < 1 else inflight))
        for mode in ("strict", "pipelined")
        for inflight, runs in RUNS.items()
    ]
    latencies = [Latency("start", scaled(200)), Latency("decision", scaled(100)), Latency("takeover", scaled(20))]
    watching = [Watching(watchers, scaled(runs)) for watchers, runs in ((1, 20), (10, 20), (100, 5))]
    with_output = Throughput("strict", 1000, scaled(RUNS[1000]), "nodes_with_output")
    histories = [History(scaled(events, 200)) if events > 100 else History(events) for events in (100, 10_000, 100_000)]
    return [*throughput, with_output, *latencies, *watching, Paused(paused), *histories, Peers(scaled(100) / 20)]


def main() -> int:
    """The program. 1 where `--gate` is given and a ratio is too low."""
    given = _options()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    stores = STORES if given.store == "both" else (given.store,)
    chosen = _chosen(given, cases(given.scale, given.paused))
    figures: list[Figure] = []
    with ExitStack() as stack:
        measured = Stores(given.output.parent, stack.enter_context(_postgres()) if "postgresql" in stores else None)
        for case in chosen:
            for store in stores:
                if not isinstance(case, Peers) or store == "postgresql":
                    figures += asyncio.run(_median(case, store, measured, given.rounds))
    given.output.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    print(table(figures))
    print(f"written to {given.output}", file=sys.stderr)
    low = [line for figure in figures if (line := _too_low(figure))]
    print("\n".join(low), end="\n" if low else "", file=sys.stderr)
    return 1 if low and given.gate else 0


async def _median(case: Case, store: str, stores: Stores, rounds: int) -> list[Figure]:
    measured = []
    for number in range(1, rounds + 1):
        print(f"{store}, {case.name}, round {number}", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=stores.work) as directory:
            measured.append(await case.measure(store, stores, pathlib.Path(directory)))
    return median_of(measured)


def _too_low(figure: Figure) -> str:
    least = GATES.get((figure.store, figure.case, figure.name))
    if least is None or figure.ratio is None or figure.ratio >= least:
        return ""
    return f"{figure.store}, {figure.case}: {figure.ratio:.3f} of the ceiling; at least {least} is demanded"


def _chosen(given: argparse.Namespace, known: Sequence[Case]) -> list[Case]:
    wanted = given.cases.split(",") if given.cases else list(DEFAULT)
    if os.environ.get("BENCH_PEERS") == "1" and "peers" not in wanted:
        wanted.append("peers")
    for name in wanted:
        if not any(_is_named(case, name) for case in known):
            raise SystemExit(f"{name}: no such case; there are {', '.join(case.name for case in known)}")
    return [case for case in known if any(_is_named(case, name) for name in wanted)]


def _is_named(case: Case, name: str) -> bool:
    return case.name == name or case.name.startswith(f"{name}-")


@contextmanager
def _postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL, or a sentence that says what to set."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server(SETTINGS))
        except Exception as error:
            wanted = "set PERDURE_TEST_POSTGRES=postgresql://USER@HOST/DATABASE, or measure with STORE=sqlite"
            raise SystemExit(f"there is no PostgreSQL to measure ({error}): {wanted}") from error
        yield server


def _options() -> argparse.Namespace:
    head, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="make bench BENCH='...'",
        description=f"{head}\n{rest}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", choices=[*STORES, "both"], default="both", help="or STORE= of make")
    parser.add_argument("--cases", default="", help="names with commas between; or CASES= of make")
    parser.add_argument("--rounds", type=int, default=3, help="a figure is the median of so many")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies how much each case does")
    parser.add_argument("--paused", type=int, default=2000, help="how many runs wait in the case `paused`")
    parser.add_argument("--gate", action="store_true", help="end with 1 where a ratio to the ceiling is too low")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("build/bench.json"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
