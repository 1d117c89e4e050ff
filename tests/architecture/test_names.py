"""Names say what a thing is: some words never do."""

import ast
import re
from typing import Any

import pytest

BANNED = frozenset(
    {"util", "helper", "common", "misc", "base", "core", "manager", "handler", "processor", "data", "info"}
)
"""Words that name no module, class or package, alone or as the noun at a name's end; their plurals neither."""

EMPTY = BANNED - {"data", "info"}
"""Those that say nothing at a name's beginning either: `DataCorrupt` says what is corrupt, `BaseRun` nothing."""

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""A word of a name, in `snake_case` and in `CamelCase`."""


def is_banned(name: str) -> bool:
    words = [word.lower() for word in WORD.findall(name)]
    return bool(words) and bool({words[-1], words[-1].removesuffix("s")} & BANNED or words[0] in EMPTY)


def banned_names(tree: Any) -> list[str]:
    """Modules, packages and classes; tests, whose files are named for what they test, count for their classes."""
    found = []
    for module in [*tree.modules, *tree.tests]:
        parts = module.path.removesuffix(".py").split("/")
        named = [part for part in parts if not part.startswith("test_")]
        found += [f"{module.path}: {part}" for part in named if is_banned(part)]
        classes = (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))
        found += [f"{module.at(node)}: {node.name}" for node in classes if is_banned(node.name)]
    return found


def test_no_module_class_or_package_has_a_name_that_says_nothing(project: Any) -> None:
    assert banned_names(project) == []


@pytest.mark.parametrize(
    ("path", "text", "word"),
    [
        ("executor/perdure_executor/utils.py", "", "utils"),
        ("executor/perdure_executor/core/walk.py", "", "core"),
        ("executor/perdure_executor/task_data.py", "", "task_data"),
        ("tests/helpers.py", "", "helpers"),
        ("executor/perdure_executor/walk.py", "class LeaseManager: ...", "LeaseManager"),
        ("executor/perdure_executor/walk.py", "def f():\n    class _RPCHandler: ...", "_RPCHandler"),
        ("tests/unit/test_walking.py", "class BaseTest: ...", "BaseTest"),
    ],
)
def test_a_name_that_says_nothing_is_found(planted: Any, path: str, text: str, word: str) -> None:
    found = banned_names(planted({path: text}))

    assert len(found) == 1
    assert found[0].endswith(f": {word}")


@pytest.mark.parametrize(
    "name", ["database", "information_desk", "Scores", "Handle", "Processing", "DataCorrupt", "data_directory"]
)
def test_a_word_that_only_sounds_like_it_is_not_found(name: str) -> None:
    assert not is_banned(name)
