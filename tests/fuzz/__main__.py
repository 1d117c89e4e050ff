"""Asks servers what nobody should ask them, and says what they could not answer: `python -m tests.fuzz --help`."""

import argparse
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any

from perdure_services import process  # noqa: F401  # first: it sets what gRPC reads when it is imported
from tests.fuzz.run import KINDS, Tally
from tests.fuzz.stores import STORES, Asked, play_store


def main() -> int:
    """0 where nothing was found."""
    given = _options()
    asked = Asked(given.seed, given.cases, given.case, given.processes, given.only)
    begun, whole = time.monotonic(), Tally()
    for store in STORES[given.store]:
        _say(f"seed {given.seed}, {given.cases} cases, {store}")
        whole.add(play_store(store, asked, _say))
    _say(
        *table(whole),
        f"{whole.cases} cases in {time.monotonic() - begun:.0f} s, {len(whole.failures)} failed; seed {given.seed}",
    )
    return 1 if whole.failures or not whole.cases else 0


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="how many, on each store")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--case", type=int, help="play this one again, after those of its portion before it")
    parser.add_argument("--processes", type=int, default=1, help="how many at once, each with servers of its own")
    parser.add_argument(
        "--only", type=lambda words: words.split(","), default=[], metavar="KIND,...", help=", ".join(KINDS)
    )
    parser.add_argument("--store", choices=STORES, default="sqlite")
    given = parser.parse_args()
    if set(given.only) - set(KINDS):
        parser.error(f"--only is of {', '.join(KINDS)}")
    return given


def table(tally: Tally) -> Iterator[str]:
    """What was asked and what was answered, for people."""
    yield ""
    for kind in KINDS:
        yield f"{tally.kinds[kind]:8}  {kind}"
    yield ""
    for subject in sorted({subject for subject, _ in tally.answers}):
        answers = [(count, word) for (asked, word), count in tally.answers.items() if asked == subject]
        words = ", ".join(f"{word} {count}" for count, word in sorted(answers, reverse=True))
        yield f"{sum(count for count, _ in answers):8}  {subject}: {words}"
    yield ""


def _say(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
