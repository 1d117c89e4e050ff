"""States are members of their enums: outside the places that define them, no text has a state's name."""

import re
from enum import StrEnum
from typing import Any

import pytest

from perdure.runlog.states import RunState
from perdure_control_plane.domain.approval import ApprovalState
from perdure_control_plane.domain.playbook import Publication
from perdure_control_plane.domain.task import TaskState

STATES: tuple[type[StrEnum], ...] = (RunState, Publication, ApprovalState, TaskState)
NAMES = frozenset(state.value for states in STATES for state in states)
QUOTED = re.compile("|".join(f"'{name}'" for name in sorted(NAMES)))
"""A state's name as it would stand in SQL."""

DEFINED_IN = (
    "clients/python/perdure/runlog/",
    "control_plane/perdure_control_plane/domain/",
    "control_plane/perdure_control_plane/storage/tables.py",
    "control_plane/perdure_control_plane/storage/migrations/",
)

OTHER_MEANINGS = {
    ("executor/perdure_executor/asking.py", "EXPIRED"): "why nobody has answered a question",
    ("clients/python/perdure/cli/printing/tables.py", "ACTIVE"): "a column's heading, over the name of a version",
}
"""Texts that are a state's name by chance."""


def state_texts(tree: Any) -> list[str]:
    return [
        f"{module.at(node)}: {text!r}"
        for module in tree.modules
        if not module.path.startswith(DEFINED_IN)
        for node, text in module.texts()
        if (text in NAMES or QUOTED.search(text)) and (module.path, text) not in OTHER_MEANINGS
    ]


def test_no_text_has_a_state_s_name(project: Any) -> None:
    assert state_texts(project) == []


@pytest.mark.parametrize(
    "line",
    [
        'if run.state == "RUNNING": ...',
        'names = {"x": ["DRAFT"]}',
        "sql = \"UPDATE approvals SET state = 'EXPIRED' WHERE run_id = ?\"",
        'match state:\n    case "TIMED_OUT": ...',
    ],
)
def test_a_state_s_name_in_a_text_is_found(planted: Any, line: str) -> None:
    path = "control_plane/perdure_control_plane/storage/runs.py"

    found = state_texts(planted({path: line}))

    assert len(found) == 1
    assert found[0].startswith(f"{path}:{1 + line.count(chr(10))}: ")


def test_words_that_only_contain_a_state_s_name_are_not_found(planted: Any) -> None:
    text = '"""RUNNING"""\nx = ["STATUS_RUNNING", "running", "the run is RUNNING", f"{1}OPEN ACCESS"]\n'

    assert state_texts(planted({"services/perdure_services/logs.py": text})) == []


@pytest.mark.parametrize("place", DEFINED_IN)
def test_the_places_that_define_states_exist(project: Any, place: str) -> None:
    assert any(module.path.startswith(place) for module in project.modules)
