"""The Makefile is the only door: it says what each target does, and continuous integration goes through it."""

import re
from typing import Any

import pytest

RULE = re.compile(r"^(?P<targets>[A-Za-z][\w -]*):(?!=)(?P<rest>.*)$", re.MULTILINE)
"""A rule that people call by name. Rules for files begin with a variable or hold a slash or a dot."""

INSTALLS = re.compile(r"\binstall\b")
PREPARES = re.compile(r"^(set|cd|export|have|install|if|then|else|fi|local|echo|exit|apt-get|\}|\)|python3 -c)\b|^[}{]")


def targets(makefile: str) -> dict[str, str]:
    """Each target and what it says about itself."""
    found = {}
    for rule in RULE.finditer(makefile):
        _, _, said = rule["rest"].partition("## ")
        found |= dict.fromkeys(rule["targets"].split(), said.strip())
    return found


def phony(makefile: str) -> set[str]:
    return {name for line in re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE) for name in line.split()}


def commands_after_installing(script: str) -> list[str]:
    """What a script does once everything that it installs is there."""
    lines = [line.strip() for line in script.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    last = max((index for index, line in enumerate(lines) if INSTALLS.search(line)), default=-1)
    return lines[last + 1 :]


def ways_around(script: str, makefile: str) -> list[str]:
    """Commands that do not go through a target that says what it does."""
    known = {name for name, said in targets(makefile).items() if said}
    calls = commands_after_installing(script)
    return [line for line in calls if not (line.startswith("make ") and set(line.split()[1:]) <= known)]


def text_of(project: Any, path: str) -> str:
    return dict(project.files(path))[path]


def test_every_target_says_what_it_does(project: Any) -> None:
    silent = [name for name, said in targets(text_of(project, "Makefile")).items() if not said]

    assert silent == []


def test_every_target_is_declared_to_be_no_file(project: Any) -> None:
    makefile = text_of(project, "Makefile")

    assert phony(makefile) == set(targets(makefile))


def test_continuous_integration_installs_and_then_only_calls_make(project: Any) -> None:
    script, makefile = text_of(project, ".ci/run"), text_of(project, "Makefile")

    assert commands_after_installing(script) != []
    assert ways_around(script, makefile) == []


def test_before_that_it_only_prepares_the_machine(project: Any) -> None:
    script = text_of(project, ".ci/run")
    lines = [line.strip() for line in script.splitlines() if line.strip() and not line.startswith("#")]
    before = lines[: len(lines) - len(commands_after_installing(script))]

    assert [line for line in before if not PREPARES.search(line)] == []


def test_a_target_that_says_nothing_is_found() -> None:
    makefile = "VENV := .venv\nbuild/x: y\n\ttouch x\ntest: install ## run the tests\n\tpytest\nlint check: install\n"

    assert targets(makefile) == {"test": "run the tests", "lint": "", "check": ""}


@pytest.mark.parametrize("line", ["pytest -q", "make test && rm -rf x", ".venv/bin/ruff check .", "make secret"])
def test_a_way_around_the_door_is_found(line: str) -> None:
    makefile = "test: ## run the tests\nsecret:\n\techo\n"
    script = f"#!/bin/bash\nset -e\nhave make || install make\n# now the tests\nmake test\n{line}\n"

    found = ways_around(script, makefile)

    assert found == [line]
