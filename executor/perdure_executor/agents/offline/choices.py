"""What is worth a look: chosen by what the prompt names, then by what names usually mean."""

import pathlib
import re
from typing import Final

from perdure_executor.agents.offline.findings import Findings

MOST_READ: Final = 4

DEFAULT_SEARCH: Final = "TODO"

TELLING: Final = (
    r"readme(\..+)?",
    r"pyproject\.toml|package\.json|cargo\.toml|go\.mod|pom\.xml|build\.gradle(\.kts)?|composer\.json|gemfile",
    r"setup\.(py|cfg)|requirements\.txt|cmakelists\.txt",
    r"change(s|log)(\..+)?|history(\..+)?|news(\..+)?",
    r"(gnu)?makefile|(.+\.)?dockerfile|compose\.ya?ml|docker-compose\.ya?ml",
    r"contributing(\..+)?|architecture(\..+)?",
)
"""Names of files that say what a tree is, the most telling first."""

_QUOTED: Final = re.compile(r"`([^`\n]{2,60})`|\"([^\"\n]{2,60})\"|“([^”\n]{2,60})”")


def files_that_matter(findings: Findings) -> list[str]:
    """A few files to read: those the prompt names, then those that say what the tree is, else the first there are."""
    paths = findings.paths
    if findings.listing is None:
        return named_paths(findings.prompt)[:MOST_READ]
    named = [path for path in paths if _is_named(path, findings.prompt)]
    telling = sorted(
        (path for path in paths if _rank(path) < len(TELLING)), key=lambda path: (_depth(path), _rank(path))
    )
    chosen = list(dict.fromkeys([*named, *telling]))
    return (chosen or paths)[:MOST_READ]


def text_to_search(prompt: str) -> str:
    """The first thing the prompt quotes that is not a path, else a mark that people leave for what is undone."""
    quoted = [next(filter(None, groups)).strip() for groups in _QUOTED.findall(prompt)]
    return next((text for text in quoted if text and not named_paths(text)), DEFAULT_SEARCH)


def named_paths(text: str) -> list[str]:
    """What looks like the path of a file in a text."""
    words = [word.rstrip(".") for word in re.findall(r"[\w./-]+", text)]
    return [
        word for word in dict.fromkeys(words) if re.fullmatch(r"(?:[\w.-]+/)*[\w-]*\.?[\w-]+\.[A-Za-z]\w{0,9}", word)
    ]


def _words(text: str) -> list[str]:
    return [word.rstrip(".") for word in re.findall(r"[\w./-]+", text)]


def _is_named(path: str, prompt: str) -> bool:
    name = pathlib.PurePosixPath(path).name
    # `Makefile` is a name and `tests` is a word: without an ending only the telling names count.
    telling = "." in name or _rank(path) < len(TELLING)
    return telling and not {path, name}.isdisjoint(_words(prompt))


def _rank(path: str) -> int:
    name = pathlib.PurePosixPath(path).name.lower()
    return next((rank for rank, pattern in enumerate(TELLING) if re.fullmatch(pattern, name)), len(TELLING))


def _depth(path: str) -> int:
    return path.count("/")
