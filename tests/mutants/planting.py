"""Mutants: bugs that are planted in a copy of the source, each described by a file beside this one."""

import pathlib
import shutil
import tomllib
from dataclasses import dataclass
from typing import Final

from tests.mutants.rules import OTHER

HERE: Final = pathlib.Path(__file__).parent
ROOT: Final = HERE.parents[1]
COPIED: Final = (
    "clients/python",
    "control_plane",
    "executor",
    "services",
    "tests",
    "protos",
    "pyproject.toml",
)
PACKAGES: Final = ("clients/python", "control_plane", "executor", "services")
"""Directories that packages are imported from."""


class DoesNotApply(Exception):
    """The text that a mutant replaces does not stand in the source, or not just once."""


@dataclass(frozen=True, slots=True)
class Change:
    """One replacement in one file."""

    file: str
    before: str
    after: str

    def apply(self, root: pathlib.Path) -> None:
        """Makes the change below a directory. Raises DoesNotApply."""
        path = root / self.file
        source = path.read_text() if path.is_file() else ""
        if source.count(self.before) != 1:
            raise DoesNotApply(f"{self.file} has the text {source.count(self.before)} times, not once:\n{self.before}")
        path.write_text(source.replace(self.before, self.after))


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug, and what must find it: tests, each of which goes red for it, or seeds of the simulation, one of which does."""

    name: str
    title: str
    tests: tuple[str, ...]
    changes: tuple[Change, ...]
    rule: str = OTHER
    """The rule that it breaks, by its name in `rules`."""
    seeds: int = 0
    """How many seeds the simulation has to find it in; 0 where it is not asked to."""

    def plant(self, root: pathlib.Path) -> None:
        """Makes every change. Raises DoesNotApply."""
        for change in self.changes:
            change.apply(root)


def mutants() -> list[Mutant]:
    """Every mutant that is described here, by name."""
    return [_read(path) for path in sorted(HERE.glob("*.toml"))]


def copy_source(to: pathlib.Path) -> None:
    """Copies everything that tests need."""
    passed_over = shutil.ignore_patterns("__pycache__", ".*", "build", "dist", "*.egg-info")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=passed_over)
        else:
            shutil.copy(source, to / name)


def _read(path: pathlib.Path) -> Mutant:
    described = tomllib.loads(path.read_text())
    changes = tuple(Change(one["file"], one["before"], one["after"]) for one in described["change"])
    tests, rule, seeds = described.get("tests", []), described.get("rule", OTHER), described.get("seeds", 0)
    return Mutant(path.stem, described["title"], tuple(tests), changes, rule, seeds)
