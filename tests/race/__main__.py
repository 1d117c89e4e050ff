"""Has people, time and stops decide the same approval at once, on PostgreSQL: `python -m tests.race --help`."""

import argparse
import asyncio
import pathlib
import secrets
import sys
import tempfile
import time

from perdure_services import process  # noqa: F401  # first: it sets what gRPC reads when it is imported
from tests.postgres import postgres_server
from tests.race.house import house
from tests.race.races import RACES
from tests.race.run import Result, run_races


def main() -> int:
    """0 where every race had one winner, and left one decision behind."""
    given = _options()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="perdure-race-"))
    begun = time.monotonic()
    _say(f"seed {given.seed}: {given.rounds} rounds of each race; logs: {directory}")
    with postgres_server() as server:
        database = asyncio.run(server.make_empty()).render_as_string(hide_password=False)
        results, checked = asyncio.run(_raced(given, directory, database))
    found = [*(fault for result in results.values() for fault in result.faults), *filter(None, [checked])]
    for name, result in results.items():
        _say("", f"{name}: {result.rounds} rounds")
        _say(*(f"{count:8}  won by: {winner}" for winner, count in sorted(result.winners.items())))
        _say(*(f"{count:8}  answered: {one}, {other}" for (one, other), count in sorted(result.answers.items())))
    rounds = sum(result.rounds for result in results.values())
    _say(
        "", *found[:50], f"{rounds} rounds in {time.monotonic() - begun:.0f} s, {len(found)} faults; seed {given.seed}"
    )
    return 1 if found or not rounds else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.race", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000, help="of each race")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--only", action="append", choices=RACES, default=[], help="this race alone; repeat for more")
    return parser.parse_args()


async def _raced(given: argparse.Namespace, directory: pathlib.Path, database: str) -> tuple[dict[str, Result], str]:
    async with house(directory, database) as opened:
        results = await run_races(opened, given.rounds, given.seed, given.only, _say)
        checked = await asyncio.to_thread(opened.servers.check)
    return results, checked


def _say(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
