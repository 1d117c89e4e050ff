"""Runs the tests that must find a mutant, in a copy of the source that has it."""

import asyncio
import pathlib
import re
import sysconfig
import time
import venv
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Final

from tests.mutants.planting import PACKAGES, Mutant, copy_source

TEST_SECONDS: Final = 20
"""A test that takes longer hangs, which is one way of going red."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What tests came to, by `path::test`; a test with several cases is red when one of them is."""

    red: frozenset[str]
    """Those that failed, in their own body or in what was set up for them or taken down after them."""
    passed: frozenset[str]
    """Those that ran, and of which every case passed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant: the tests that went red, and those that should have and did not."""

    mutant: Mutant
    red: tuple[str, ...] = ()
    green: tuple[str, ...] = ()
    found: str = ""
    """What the simulation found, in words; empty where it found nothing, or was not asked to."""
    unfit: tuple[str, ...] = ()
    """Tests that do not pass without the mutant either, so that their going red would say nothing of it."""
    seconds: float = 0.0

    @property
    def caught(self) -> bool:
        """Whether every test that was named has found it, and the simulation, where it was to."""
        return not self.green and not self.unfit and bool(self.found or not self.mutant.seeds)

    @property
    def by(self) -> str:
        """What caught it, in few words."""
        simulation = f"simulation ({self.found})" if self.found else ""
        others = f" and {len(self.red) - 1} more" if len(self.red) > 1 else ""
        tests = f"{self.red[0].removeprefix('tests/')}{others}" if self.red else ""
        return ", ".join(filter(None, [simulation, tests])) or "nothing"


class NothingRan(Exception):
    """The tests could not be run at all; the message has what they printed."""


async def unfit(tests: list[str], directory: pathlib.Path) -> set[str]:
    """Runs the tests in a copy without any mutant, and returns those that do not pass there. Raises NothingRan."""
    copy_source(directory)
    return set(tests) - (await run_tests(directory, tests)).passed


async def attempt(mutant: Mutant, directory: pathlib.Path) -> Outcome:
    """Plants a mutant in a copy of its own, and runs its tests. Raises DoesNotApply, NothingRan."""
    begun = time.monotonic()
    copy_source(directory)
    mutant.plant(directory)
    verdicts = await run_tests(directory, list(mutant.tests)) if mutant.tests else Verdicts(frozenset(), frozenset())
    red = tuple(test for test in mutant.tests if test in verdicts.red)
    green = tuple(test for test in mutant.tests if test not in verdicts.red)
    found = await simulate(directory, mutant.seeds) if mutant.seeds else ""
    return Outcome(mutant, red, green, found, seconds=time.monotonic() - begun)


async def simulate(directory: pathlib.Path, seeds: int) -> str:
    """Plays seeds on the packages of a copy, until one fails. What was found, in few words; empty for nothing."""
    process = await asyncio.create_subprocess_exec(
        *(_python(directory), "-m", "tests.simulation", "--processes", "1", "--failures", "1", "--seeds", str(seeds)),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    if process.returncode not in (0, 1):
        raise NothingRan(printed.decode(errors="replace"))
    problem = re.search(rb"^seed (\d+):\n  (\S+)", printed, re.MULTILINE)
    if process.returncode == 0 or problem is None:
        return ""
    seed, word = problem[1].decode(), problem[2].decode()
    return f"seed {seed}, {word}" if word.isupper() else f"seed {seed}"


async def run_tests(directory: pathlib.Path, tests: list[str]) -> Verdicts:
    """Runs tests of a copy on the packages of that copy. Raises NothingRan."""
    report = directory / "report.xml"
    flags = ["-q", "-p", "no:cacheprovider", f"--timeout={TEST_SECONDS}", "-o", "junit_family=xunit1"]
    process = await asyncio.create_subprocess_exec(
        *(_python(directory), "-m", "pytest", *flags, f"--junitxml={report}", *tests),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    if process.returncode not in (0, 1):
        raise NothingRan(printed.decode(errors="replace"))
    return _read(report)


def _read(report: pathlib.Path) -> Verdicts:
    red, skipped, ran = set[str](), set[str](), set[str]()
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{case.get('file')}::{(case.get('name') or '').partition('[')[0]}"
        ran.add(test)
        if case.find("failure") is not None or case.find("error") is not None:
            red.add(test)
        elif case.find("skipped") is not None:
            skipped.add(test)
    return Verdicts(frozenset(red), frozenset(ran - red - skipped))


def _python(directory: pathlib.Path) -> str:
    """An interpreter that finds our packages in the copy, and all others where this one finds them."""
    home = directory / "environment"
    venv.create(home, symlinks=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(home)})
    places = [*(str(directory / package) for package in PACKAGES), sysconfig.get_path("purelib")]
    (pathlib.Path(packages) / "mutant.pth").write_text("\n".join(places) + "\n")
    return str(home / "bin" / "python")
