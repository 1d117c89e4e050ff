"""The project's pages, read as markdown: their code, their blocks, their links; and what they may name."""

import os
import pathlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import pytest
import typer

from perdure.cli.main import COMMANDS
from perdure.cli.main import app as client_app
from perdure_services.main import app as server_app

ROOT = pathlib.Path(__file__).parents[2]
NOT_OURS = frozenset({".git", ".venv", ".perdure", "build", "dist", "__pycache__", "node_modules"})

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)(?P<ticks>`+)(?P<text>[^`]+(?:(?!(?P=ticks))`[^`]*)*?)(?P=ticks)(?!`)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)|^\[[^\]]+\]:\s*(?P<defined>\S+)$", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} (.+?)\s*#*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. `marks` are the words of its info string after the language."""

    language: str
    marks: tuple[str, ...]
    text: str
    line: int

    @property
    def runnable(self) -> bool:
        return "runnable" in self.marks

    @property
    def file(self) -> str | None:
        """The file that the block is the content of, as a runnable page uses it."""
        return next((mark.removeprefix("file=") for mark in self.marks if mark.startswith("file=")), None)


@dataclass(frozen=True)
class Page:
    """One markdown file. `path` is relative to the root, with forward slashes."""

    path: str
    text: str

    @cached_property
    def blocks(self) -> list[Block]:
        return [
            Block(*self._words(match["info"]), match["text"], self._line(match.start()))
            for match in FENCE.finditer(self.text)
        ]

    @cached_property
    def prose(self) -> str:
        """The text with its blocks blanked, each line where it was."""
        return FENCE.sub(lambda match: "\n" * match[0].count("\n"), self.text)

    @cached_property
    def spans(self) -> list[tuple[int, str]]:
        """Line and text of everything in backticks outside blocks; a span that wraps is one line."""
        return [(self._line(match.start()), " ".join(match["text"].split())) for match in SPAN.finditer(self.prose)]

    @cached_property
    def links(self) -> list[tuple[int, str]]:
        plain = SPAN.sub(lambda match: " " * len(match[0]), self.prose)
        return [(self._line(match.start()), match["target"] or match["defined"]) for match in LINK.finditer(plain)]

    @cached_property
    def anchors(self) -> set[str]:
        """What a link into the page may name, as the headings' own words make it."""
        bare = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(self.prose))
        return {heading.strip().replace(" ", "-") for heading in bare}

    def _words(self, info: str) -> tuple[str, tuple[str, ...]]:
        language, *marks = info.split() or [""]
        return language, tuple(marks)

    def _line(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1


@dataclass(frozen=True)
class Folder:
    """All files below a root, and the pages among them."""

    root: pathlib.Path

    @cached_property
    def files(self) -> list[str]:
        found = []
        for folder, inner, names in os.walk(self.root):
            inner[:] = sorted(name for name in inner if name not in NOT_OURS and not name.endswith("_cache"))
            found += [pathlib.Path(folder, name).relative_to(self.root).as_posix() for name in names]
        return sorted(found)

    @cached_property
    def pages(self) -> list[Page]:
        return [self.page(path) for path in self.files if path.endswith(".md")]

    def page(self, path: str) -> Page:
        return Page(path, self.text(path))

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def has(self, named: str) -> bool:
        """Whether a path, or its end, or a pattern for one, names a file or a folder."""
        pattern = "".join(r"[^/]*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", named.rstrip("/")))
        wanted = re.compile(rf"(^|/){pattern}(/|$)")
        return any(wanted.search(path) for path in self.files)


PROJECT = Folder(ROOT)


@dataclass(frozen=True)
class Command:
    """A command of ours, or a group of them."""

    options: frozenset[str]
    inner: dict[str, "Command"]

    def all(self, name: str) -> Iterator[tuple[str, "Command"]]:
        """Every command below with its full name; groups left out."""
        if not self.inner:
            yield name, self
        for word, command in self.inner.items():
            yield from command.all(f"{name} {word}")


def _command(parsed: Any) -> Command:
    own = {option for parameter in parsed.params for option in (*parameter.opts, *parameter.secondary_opts)}
    inner = {name: _command(command) for name, command in getattr(parsed, "commands", {}).items()}
    return Command(frozenset({option for option in own if option.startswith("-")} | {"--help"}), inner)


def _client() -> Command:
    top = _command(typer.main.get_command(client_app))
    modules = {name: import_module(lazy.module) for name, lazy in COMMANDS.items()}
    return Command(
        top.options, {name: _command(typer.main.get_command(module.app)) for name, module in modules.items()}
    )


@pytest.fixture(scope="session")
def project() -> Folder:
    return PROJECT


@pytest.fixture(scope="session")
def programs() -> dict[str, Command]:
    """Both programs, with every command and flag they have."""
    return {"perdure": _client(), "perdure-server": _command(typer.main.get_command(server_app))}


@pytest.fixture
def planted(folder_of: Callable[[dict[str, str]], pathlib.Path]) -> Callable[[dict[str, str]], Folder]:
    """Makes a folder of its own from paths and texts, for faults to be found in."""
    return lambda files: Folder(folder_of(files))


@pytest.fixture
def page() -> Callable[[str], Page]:
    """Makes a page from its text."""
    return lambda text: Page("page.md", text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a `runnable` page runs once for each page that has runnable blocks."""
    if "runnable" in metafunc.fixturenames:
        pages = [page for page in PROJECT.pages if any(block.runnable for block in page.blocks)]
        metafunc.parametrize("runnable", pages, ids=[page.path for page in pages])
