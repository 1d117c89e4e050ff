"""Plants each mutant and runs the tests that must find it: `python -m tests.mutants [NAME ...]`."""

import argparse
import asyncio
import pathlib
import sys
import tempfile

from tests.mutants.planting import Mutant, mutants
from tests.mutants.trials import Outcome, attempt, sound

AT_ONCE = 2


async def main(chosen: list[Mutant]) -> int:
    """0 where every mutant was caught by every test that is named for it."""
    with tempfile.TemporaryDirectory(prefix="perdure-mutants-") as directory:
        root = pathlib.Path(directory)
        await sound(sorted({test for mutant in chosen for test in mutant.tests}), root / "sound")
        outcomes = await _attempt_all(chosen, root)
    survivors = [outcome for outcome in outcomes if not outcome.caught]
    _say(f"\n{len(outcomes) - len(survivors)} of {len(outcomes)} planted bugs were caught")
    return 1 if survivors else 0


def _chosen() -> list[Mutant]:
    known = {mutant.name: mutant for mutant in mutants()}
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all of them, or some of {', '.join(known)}")
    names = parser.parse_args().names or list(known)
    strangers = sorted(set(names) - set(known))
    if strangers:
        parser.error(f"there is no mutant {', '.join(strangers)}; there are {', '.join(known)}")
    return [known[name] for name in names]


async def _attempt_all(chosen: list[Mutant], root: pathlib.Path) -> list[Outcome]:
    width = max((len(mutant.title) for mutant in chosen), default=0)
    lanes = asyncio.Semaphore(AT_ONCE)

    async def one(mutant: Mutant) -> Outcome:
        async with lanes:
            outcome = await attempt(mutant, root / mutant.name)
        _say(f"{mutant.title:{width}}  {'caught' if outcome.caught else 'SURVIVED'}  {outcome.seconds:4.1f} s")
        for test, colour in [*((test, "red") for test in outcome.red), *((test, "GREEN") for test in outcome.green)]:
            _say(f"    {colour:5}  {test}")
        return outcome

    return list(await asyncio.gather(*(one(mutant) for mutant in chosen)))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(_chosen())))
