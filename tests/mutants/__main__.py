"""Plants each mutant, and runs what must find it: tests, or the simulation. `python -m tests.mutants [NAME ...]`."""

import argparse
import asyncio
import pathlib
import sys
import tempfile

from tests.mutants.planting import DoesNotApply, Mutant, mutants
from tests.mutants.rules import RULES
from tests.mutants.trials import NothingRan, Outcome, attempt, simulate, unfit

AT_ONCE = 2
SIMULATION = "the simulation, on the source as it is"


async def main(chosen: list[Mutant]) -> int:
    """0 where every mutant was caught by every test that is named for it."""
    with tempfile.TemporaryDirectory(prefix="perdure-mutants-") as directory:
        root = pathlib.Path(directory)
        red_before = await unfit(sorted({test for mutant in chosen for test in mutant.tests}), root / "sound")
        seeds = max((mutant.seeds for mutant in chosen), default=0)
        if seeds and await simulate(root / "sound", seeds):
            red_before.add(SIMULATION)
        outcomes = await _attempt_all(chosen, red_before, root)
    caught = [outcome for outcome in outcomes if outcome.caught]
    _say("", *_table(outcomes), f"\n{len(caught)} of {len(outcomes)} planted bugs were caught")
    return 0 if len(caught) == len(outcomes) else 1


def _chosen() -> list[Mutant]:
    known = {mutant.name: mutant for mutant in mutants()}
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all of them, or some of {', '.join(known)}")
    names = parser.parse_args().names or list(known)
    strangers = sorted(set(names) - set(known))
    if strangers:
        parser.error(f"there is no mutant {', '.join(strangers)}; there are {', '.join(known)}")
    return [known[name] for name in names]


async def _attempt_all(chosen: list[Mutant], red_before: set[str], root: pathlib.Path) -> list[Outcome]:
    width = max((len(mutant.title) for mutant in chosen), default=0)
    lanes = asyncio.Semaphore(AT_ONCE)

    async def one(mutant: Mutant) -> Outcome:
        wanted = (*mutant.tests, *([SIMULATION] if mutant.seeds else []))
        unfit_here = tuple(test for test in wanted if test in red_before)
        if unfit_here:
            outcome = Outcome(mutant, unfit=unfit_here)
        else:
            async with lanes:
                outcome = await _tried(mutant, root / mutant.name)
        _tell(outcome, width)
        return outcome

    return list(await asyncio.gather(*(one(mutant) for mutant in chosen)))


async def _tried(mutant: Mutant, directory: pathlib.Path) -> Outcome:
    try:
        return await attempt(mutant, directory)
    except (DoesNotApply, NothingRan) as fault:
        return Outcome(mutant, unfit=(str(fault)[-400:],))


def _tell(outcome: Outcome, width: int) -> None:
    word = "caught" if outcome.caught else "NOT TRIED" if outcome.unfit else "SURVIVED"
    _say(f"{outcome.mutant.title:{width}}  {word}  {outcome.seconds:4.1f} s")
    for colour, tests in (("red", outcome.red), ("GREEN", outcome.green), ("RED BEFORE", outcome.unfit)):
        for test in tests:
            _say(f"    {colour:5}  {test}")


def _table(outcomes: list[Outcome]) -> list[str]:
    """For each rule the bugs that were planted against it, and what caught each."""
    width = max(len(outcome.mutant.name) for outcome in outcomes)
    ordered = sorted(outcomes, key=lambda outcome: list(RULES).index(outcome.mutant.rule))
    return [
        f"{one.mutant.rule:20}  {one.mutant.name:{width}}  {one.seconds:5.1f} s  "
        f"{one.by if one.caught else f'NOT CAUGHT; by {one.by}'}"
        for one in ordered
    ]


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(_chosen())))
