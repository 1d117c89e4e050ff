"""Plays seeds: `python -m tests.simulation --seeds 1000 --from 1`, or one of them, step by step: `--seed 17`."""

import argparse
import gc
import os
import sys
import time

from tests.simulation.faults import KINDS
from tests.simulation.soak import Soaked, in_order, soak
from tests.simulation.trial import Outcome, Stage, play


def main() -> int:
    """0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many to play")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first of them")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--failures", type=int, default=3, help="after so many seeds that failed, no more are begun")
    parser.add_argument("--every-kind", action="store_true", help="fail, too, where a kind of fault was never hit")
    parser.add_argument("--seed", type=int, help="play this one alone, and print every step")
    asked = parser.parse_args()
    if asked.seed is not None:
        return _play_one(asked.seed)
    begun = time.monotonic()
    soaked = soak(
        asked.first, asked.seeds, asked.processes, lambda so_far: _tell(so_far, asked.seeds), enough=asked.failures
    )
    for outcome in in_order(soaked):
        _say("", *_story(outcome))
    _say("", *(f"{soaked.hits[kind]:8}  {kind}" for kind in KINDS))
    never = [kind for kind in KINDS if not soaked.hits[kind]] if asked.every_kind else []
    _say("", *(f"never hit: {kind}" for kind in never))
    words = ", ".join(str(outcome.seed) for outcome in in_order(soaked)) or "none"
    _say(f"{soaked.played} seeds from {asked.first} in {time.monotonic() - begun:.0f} s; failed: {words}")
    return 1 if soaked.failed or never else 0


def _play_one(seed: int) -> int:
    gc.disable()
    outcome = play(Stage(), seed, whole=True)
    _say(*_story(outcome), f"digest {outcome.digest}", "ok" if not outcome.problems else "NOT OK")
    sys.stdout.flush()
    os._exit(1 if outcome.problems else 0)  # what was killed inside is not to be cleaned up


def _story(outcome: Outcome) -> list[str]:
    alone = f"make soak SEED={outcome.seed} plays it alone, with every step"
    return [*outcome.steps, f"seed {outcome.seed}:", *(f"  {problem}" for problem in outcome.problems), alone]


def _tell(so_far: Soaked, seeds: int) -> None:
    failed = ", ".join(str(outcome.seed) for outcome in so_far.failed)
    if so_far.played % 100 == 0:
        _say(f"{so_far.played} of {seeds} seeds played{f'; failed: {failed}' if failed else ''}")


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
