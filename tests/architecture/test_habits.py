"""Habits that are easily lost: clocks come in as arguments, errors are not swallowed, modules are where they are."""

import ast
import re
from typing import Any

import pytest

CLOCKS = re.compile(
    r"\b(datetime|date)\.(now|utcnow|today)$|^time\.(time|time_ns|localtime|gmtime|ctime|strftime)$|\.GetCurrentTime$"
)
"""Calls that read the time of day. What measures a span, `time.monotonic` and the like, may be called anywhere."""

PROGRAMS = ("services/", "clients/python/perdure/cli/", "clients/python/generate_stubs.py")
"""Programs may read the clock, and hand it to what they start."""

HEARTBEAT = "a heartbeat shows the server's clock to people; nothing is computed from it"
CLOCK_READERS = {
    "control_plane/perdure_control_plane/api/flow_servicer.py": HEARTBEAT,
    "control_plane/perdure_control_plane/api/run_servicer.py": HEARTBEAT,
    "control_plane/perdure_control_plane/api/watched_approvals.py": HEARTBEAT,
    "control_plane/perdure_control_plane/api/work/session.py": HEARTBEAT,
}
"""Files that read the time of day below the programs, and why."""

SEARCH_PATH = re.compile(r"sys\.path\b|PYTHONPATH|^\s*pythonpath\s*=", re.MULTILINE)
CONFIGURED = (
    "*", ".ci/**/*", ".github/**/*", "deploy/**/*", "examples/**/*", "clients/**/*.toml", "clients/**/*.py",
    "clients/**/*.json", "control_plane/**/*.py", "executor/**/*.py",
    "services/**/*.py", "scripts/**/*", "tests/**/conftest.py", "tests/[!a]*/**/*.py",
)  # fmt: skip
"""Scripts and configuration. The tests in this folder have the words in them that they look for."""


def clock_reads(tree: Any) -> list[str]:
    return [
        f"{module.at(node)}: {ast.unparse(node.func)}()"
        for module in tree.modules
        if not module.path.startswith(PROGRAMS)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and CLOCKS.search(ast.unparse(node.func))
    ] + [
        str(imported)
        for imported in tree.imports
        if imported.name in ("time.time", "time.time_ns") and not imported.place.startswith(PROGRAMS)
    ]


def swallowed_errors(tree: Any) -> list[str]:
    return [
        f"{module.at(node)}: except {ast.unparse(node.type) if node.type else ''}".rstrip()
        for module in [*tree.modules, *tree.tests]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and all(says_nothing(statement) for statement in node.body)
    ]


def says_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def search_path_changes(tree: Any) -> list[str]:
    found = {path: SEARCH_PATH.search(text) for path, text in tree.files(*CONFIGURED)}
    return [f"{path}: {match[0].strip()}" for path, match in found.items() if match is not None]


def waits_that_cannot_be_cancelled(tree: Any) -> list[str]:
    """A task that is cancelled in the moment in which what it waits for is there is not told of it by `wait_for`, which
    gives it the result, before Python 3.12. A loop then goes on for ever, and so does whoever waits for its end."""
    return [
        module.at(node)
        for module in tree.modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.wait_for"
    ]


def test_whoever_waits_for_a_time_can_be_cancelled_at_any_moment(project: Any) -> None:
    assert waits_that_cannot_be_cancelled(project) == [], "use asyncio.timeout"


def test_a_wait_that_cannot_be_cancelled_is_found(planted: Any) -> None:
    path = "executor/perdure_executor/clock.py"
    text = "import asyncio\nasync def f(e):\n    await asyncio.wait_for(e.wait(), 1)\n"

    assert waits_that_cannot_be_cancelled(planted({path: text})) == [f"{path}:3"]


def test_below_the_programs_nothing_reads_the_time_of_day(project: Any) -> None:
    found = [offence for offence in clock_reads(project) if offence.partition(":")[0] not in CLOCK_READERS]

    assert found == []


@pytest.mark.parametrize("path", CLOCK_READERS)
def test_each_file_that_may_read_the_clock_still_does(project: Any, path: str) -> None:
    assert CLOCK_READERS[path]
    assert any(offence.startswith(path) for offence in clock_reads(project))


def test_no_error_is_swallowed(project: Any) -> None:
    assert swallowed_errors(project) == []


def test_nothing_changes_where_modules_are_looked_for(project: Any) -> None:
    assert search_path_changes(project) == []


@pytest.mark.parametrize(
    "code",
    ["import datetime\nx = datetime.datetime.now()", "from datetime import datetime\nx = datetime.now(tz=UTC)",
     "import time\nx = time.time()", "import time\nx = time.time_ns() // 1000", "import datetime\nx = datetime.date.today()",
     "x = Timestamp()\nx.GetCurrentTime()", "import json\nfrom time import time"],
)  # fmt: skip
def test_reading_the_time_of_day_is_found(planted: Any, code: str) -> None:
    path = "executor/perdure_executor/clock.py"

    assert [offence.partition(": ")[0] for offence in clock_reads(planted({path: code}))] == [f"{path}:2"]


def test_measuring_a_span_and_reading_the_clock_in_a_program_are_not_found(planted: Any) -> None:
    tree = planted({
        "executor/perdure_executor/clock.py": "import time\nx = time.monotonic()\ny = time.clock_gettime(7)\n",
        "services/perdure_services/control_plane.py": "import time\nx = time.time_ns()\n",
    })  # fmt: skip

    assert clock_reads(tree) == []


@pytest.mark.parametrize("body", ["pass", "...", '"""It does not matter."""\n    pass'])
def test_a_swallowed_error_is_found(planted: Any, body: str) -> None:
    path = "services/perdure_services/keys.py"
    text = f"try:\n    x = 1\nexcept (ValueError, OSError):\n    {body}\n"

    assert swallowed_errors(planted({path: text})) == [f"{path}:3: except (ValueError, OSError)"]


def test_an_error_that_is_answered_is_not_found(planted: Any) -> None:
    text = "try:\n    x = 1\nexcept ValueError:\n    x = 2\nexcept OSError:\n    raise\n"

    assert swallowed_errors(planted({"services/perdure_services/keys.py": text})) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [("Makefile", "test:\n\tPYTHONPATH=. pytest\n"), ("pyproject.toml", 'pythonpath = ["control_plane"]\n'),
     ("tests/conftest.py", "import sys\nsys.path.insert(0, 'x')\n"), ("deploy/Dockerfile", "ENV PYTHONPATH=/srv\n"),
     ("examples/start.py", "import sys\nsys.path.append('..')\n")],
)  # fmt: skip
def test_a_change_of_the_search_path_is_found(planted: Any, path: str, text: str) -> None:
    found = search_path_changes(planted({path: text}))

    assert [offence.partition(": ")[0] for offence in found] == [path]
