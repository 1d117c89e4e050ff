"""The benchmark: `make bench`.

Measures node executions a second through real processes on a real disk: a control plane, and one executor that holds so
many runs of ten nodes at once. Beside them, in the same run, the fastest that the database takes the same rows from a
program that does nothing else. Prints a table and writes a list of `{store, case, mode, inflight, value, unit, ceiling,
ratio}`; a value is the median of three.

Case `nodes` has functions that return nothing: two events a node. In case `nodes_with_output` each returns a small object,
which is an event of its own.

In mode `strict` a node begins after its predecessor's end and its own start are committed and acknowledged (effect
`at_most_once`); in mode `pipelined` the executor runs ahead inside the run it holds (effect `none`).
"""

import argparse
import asyncio
import json
import pathlib
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from typing import Final

from ceiling import fastest_inserts
from measure import Measured, Workload, measure

ROUNDS: Final = 3
EVENTS_PER_NODE: Final = {"nodes": 2, "nodes_with_output": 3}
MODES: Final = {"strict": "at_most_once", "pipelined": "none"}


@dataclass(frozen=True)
class Figure:
    """One line of the result. `ceiling` has the value's unit; `ratio` is value / ceiling."""

    store: str
    case: str
    mode: str
    inflight: int
    value: float
    unit: str
    ceiling: float
    ratio: float


@dataclass(frozen=True)
class Case:
    """What is measured: so many runs, so many of them at once."""

    name: str
    mode: str
    inflight: int
    runs: int


def cases(scale: float) -> list[Case]:
    """All cases; `scale` multiplies how many runs each takes."""
    runs = {1: 500, 100: 2000, 1000: 5000}
    wanted = [("nodes", mode, inflight) for mode in MODES for inflight in runs]
    return [
        Case(name, mode, inflight, max(inflight, round(runs[inflight] * scale)))
        for name, mode, inflight in [*wanted, ("nodes_with_output", "strict", 1000)]
    ]


async def run_case(case: Case, rounds: int, work: pathlib.Path) -> Figure:
    """Measures a case; its ceiling is taken before each round, so that both meet the same machine."""
    values: list[float] = []
    ceilings: list[float] = []
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory(dir=work) as directory:
            events = EVENTS_PER_NODE[case.name]
            ceilings.append(fastest_inserts(pathlib.Path(directory), events * case.inflight) / events)
            workload = Workload(case.name, MODES[case.mode], case.inflight, case.runs)
            result = await measure(pathlib.Path(directory), workload)
        values.append(result.nodes_per_second)
        _tell(case, number, ceilings[-1], result)
    value, ceiling = statistics.median(values), statistics.median(ceilings)
    return Figure(
        "sqlite", case.name, case.mode, case.inflight, round(value), "nodes/s", round(ceiling),
        round(value / ceiling, 3),
    )  # fmt: skip


def _tell(case: Case, number: int, ceiling: float, result: Measured) -> None:
    print(
        f"{case.name}, {case.mode}, {case.inflight} in flight, round {number}: {result.nodes_per_second:,.0f} nodes/s"
        f" over {result.seconds:.1f} s, {result.events_per_commit:.0f} events a commit; processor"
        f" {result.server_cores:.2f} control plane, {result.executor_cores:.2f} executor; ceiling {ceiling:,.0f}",
        file=sys.stderr,
    )


def _print_table(figures: list[Figure]) -> None:
    print(f"{'store':8}{'case':20}{'mode':12}{'in flight':>10}{'nodes/s':>12}{'ceiling':>12}{'ratio':>8}")
    for figure in figures:
        print(
            f"{figure.store:8}{figure.case:20}{figure.mode:12}{figure.inflight:>10,}{figure.value:>12,.0f}"
            f"{figure.ceiling:>12,.0f}{figure.ratio:>8.3f}"
        )


def main() -> None:
    """Runs every case, or those that were named."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("build/bench.json"))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="the figure is the median of so many")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the runs of each case")
    parser.add_argument("--mode", choices=list(MODES), action="append", help="only this mode")
    parser.add_argument("--inflight", type=int, action="append", help="only with so many runs in flight")
    asked = parser.parse_args()
    chosen = [
        case
        for case in cases(asked.scale)
        if (not asked.mode or case.mode in asked.mode) and (not asked.inflight or case.inflight in asked.inflight)
    ]
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    figures = [asyncio.run(run_case(case, asked.rounds, asked.output.parent)) for case in chosen]
    asked.output.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    _print_table(figures)
    print(f"written to {asked.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
