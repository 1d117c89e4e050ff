"""Kills executors and control planes under load, and writes the verdict: `python -m tests.chaos --help`."""

import argparse
import asyncio
import pathlib
import secrets
import sys
import tempfile

from tests.chaos.killer import Toll
from tests.chaos.place import STORES
from tests.chaos.trial import Trial, run_trial


def main() -> int:
    """The program. 0 where nothing is wrong."""
    given = _options()
    kills, servers = given.executor_kills, given.server_kills
    databases = given.database_kills if given.store == "postgresql" else 0
    toll = Toll(kills, servers, pause=1.3, databases=databases)
    _say(
        f"seed {given.seed}: {kills} executors, {servers} control planes, {databases} databases, {toll.zombies} zombies,"
        f" {toll.stalls} stalls, {toll.cuts} cuts, {given.store}"
    )
    directory = pathlib.Path(tempfile.mkdtemp(prefix="perdure-chaos-"))
    trial = Trial(toll, given.seed, given.guarded_windows, store=given.store, patience_seconds=120)
    _, verdict = asyncio.run(run_trial(trial, directory, _say))
    verdict.write(given.verdict)
    _say(verdict.words())
    _say(f"{verdict.counts}\nwindows hit: {verdict.windows}\nwritten: {given.verdict}; logs and data: {directory}")
    return 0 if verdict.ok else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--executor-kills", type=int, default=200)
    parser.add_argument("--server-kills", type=int, default=50)
    parser.add_argument("--database-kills", type=int, default=15, help="on PostgreSQL; every third is a failover")
    parser.add_argument("--guarded-windows", type=int, default=30, help="executors that must die inside guarded work")
    parser.add_argument("--store", choices=STORES, default="sqlite")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--verdict", type=pathlib.Path, default=pathlib.Path("build/verdict.json"))
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
