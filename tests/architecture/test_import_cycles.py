"""No module needs itself by way of others, and what a module needs stands at its top."""

from collections import defaultdict
from typing import Any

import pytest

OURS = (
    "perdure",
    "perdure_control_plane",
    "perdure_executor",
    "perdure_recovery",
    "perdure_services",
)

LATE_IMPORTS = {
    "perdure_services.main": "heavy imports wait until a program is chosen, so that help comes at once",
    "perdure_services.store_commands": "the same for what is done to a store without serving it",
    "perdure.cli": "a command loads what it needs, so that help and completion come at once",
}
"""Modules, or packages, that may import our own packages inside a function, and why."""


def edges(tree: Any) -> dict[str, dict[str, str]]:
    """For each module the modules it imports, for types only or not, and where."""
    known = {module.name for module in tree.modules}
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for imported in tree.imports:
        name = imported.name
        while name and name not in known:
            name = name.rpartition(".")[0]
        if name and name != imported.importer:
            found[imported.importer].setdefault(name, imported.place)
    return found


def cycle(steps: dict[str, dict[str, str]]) -> list[str]:
    """One cycle, each step with its place; empty where there is none."""
    done: set[str] = set()
    for start in sorted(steps):
        path = [start]
        waiting = [iter(sorted(steps[start]))]
        while waiting:
            following = next(waiting[-1], None)
            if following is None:
                waiting.pop()
                done.add(path.pop())
            elif following in path:
                circle = [*path[path.index(following) :], following]
                return [f"{steps[a][b]}: {a} imports {b}" for a, b in zip(circle, circle[1:], strict=False)]
            elif following not in done:
                path.append(following)
                waiting.append(iter(sorted(steps.get(following, {}))))
    return []


def late_imports(tree: Any) -> list[str]:
    return [
        str(imported)
        for imported in tree.imports
        if imported.in_function
        and imported.name.partition(".")[0] in OURS
        and not any(imported.importer == place or imported.importer.startswith(f"{place}.") for place in LATE_IMPORTS)
    ]


def test_there_is_no_cycle_of_imports(project: Any) -> None:
    assert cycle(edges(project)) == []


def test_our_own_packages_are_imported_at_the_top(project: Any) -> None:
    assert late_imports(project) == []


def test_a_cycle_is_found_though_one_of_its_imports_is_for_types_only(planted: Any) -> None:
    tree = planted({
        "executor/perdure_executor/__init__.py": "",
        "executor/perdure_executor/a.py": "from perdure_executor import b",
        "executor/perdure_executor/b.py": "import json\nfrom perdure_executor.c import C",
        "executor/perdure_executor/c.py":
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import perdure_executor.a\n",
    })  # fmt: skip

    found = cycle(edges(tree))

    assert found == [
        "executor/perdure_executor/a.py:1: perdure_executor.a imports perdure_executor.b",
        "executor/perdure_executor/b.py:2: perdure_executor.b imports perdure_executor.c",
        "executor/perdure_executor/c.py:3: perdure_executor.c imports perdure_executor.a",
    ]


def test_two_ways_to_one_module_are_no_cycle(planted: Any) -> None:
    tree = planted({
        "executor/perdure_executor/a.py": "import perdure_executor.b, perdure_executor.c",
        "executor/perdure_executor/b.py": "import perdure_executor.d",
        "executor/perdure_executor/c.py": "import perdure_executor.d",
        "executor/perdure_executor/d.py": "",
    })  # fmt: skip

    assert cycle(edges(tree)) == []


@pytest.mark.parametrize("path", ["executor/perdure_executor/a.py", "services/perdure_services/maintenance.py"])
def test_an_import_inside_a_function_is_found(planted: Any, path: str) -> None:
    tree = planted({path: "async def f():\n    from perdure.runlog import head\n"})

    assert [offence.partition(": ")[0] for offence in late_imports(tree)] == [f"{path}:2"]


def test_an_import_of_another_s_library_inside_a_function_is_left_to_the_linter(planted: Any) -> None:
    tree = planted({"executor/perdure_executor/a.py": "def f():\n    import pydantic_ai\n"})

    assert late_imports(tree) == []
