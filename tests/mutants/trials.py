"""Runs the tests that must find a mutant, in a copy of the source that has it."""

import asyncio
import pathlib
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
class Outcome:
    """What became of a mutant: the tests that went red, and those that should have and did not."""

    mutant: Mutant
    red: tuple[str, ...]
    green: tuple[str, ...]
    seconds: float

    @property
    def caught(self) -> bool:
        """Whether every test that was named has found it."""
        return not self.green


class TestsDidNotRun(Exception):
    """The tests could not be run at all; the message has what they printed."""


async def sound(tests: list[str], directory: pathlib.Path) -> None:
    """Runs the tests in a copy without any mutant. Raises TestsDidNotRun where one of them is red there."""
    copy_source(directory)
    failed = await _failures(directory, tests)
    if failed:
        raise TestsDidNotRun(f"red without any mutant: {', '.join(sorted(failed))}")


async def attempt(mutant: Mutant, directory: pathlib.Path) -> Outcome:
    """Plants a mutant in a copy of its own, and runs its tests. Raises DoesNotApply, TestsDidNotRun."""
    begun = time.monotonic()
    copy_source(directory)
    mutant.plant(directory)
    failed = await _failures(directory, list(mutant.tests))
    red = tuple(test for test in mutant.tests if any(_is_of(one, test) for one in failed))
    green = tuple(test for test in mutant.tests if test not in red)
    return Outcome(mutant, red, green, time.monotonic() - begun)


def _is_of(failed: str, test: str) -> bool:
    return failed == test or failed.startswith(f"{test}[")


async def _failures(directory: pathlib.Path, tests: list[str]) -> set[str]:
    """Those of the tests that failed, in the form `path::test[case]`."""
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
        raise TestsDidNotRun(printed.decode(errors="replace"))
    cases = ElementTree.parse(report).iter("testcase")
    return {f"{case.get('file')}::{case.get('name')}" for case in cases if case.find("failure") is not None}


def _python(directory: pathlib.Path) -> str:
    """An interpreter that finds our packages in the copy, and all others where this one finds them."""
    home = directory / "environment"
    venv.create(home, symlinks=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(home)})
    places = [*(str(directory / package) for package in PACKAGES), sysconfig.get_path("purelib")]
    (pathlib.Path(packages) / "mutant.pth").write_text("\n".join(places) + "\n")
    return str(home / "bin" / "python")
