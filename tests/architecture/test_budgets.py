"""Files, classes and functions that a person can hold in mind. What is longer stands in a table, with its reason."""

import ast
from typing import Any

import pytest

MODULE, CLASS, FUNCTION, TEST_FILE, PROTO = 300, 150, 40, 400, 300
"""Most lines of each."""

SERVER = "control_plane/perdure_control_plane"
RUNLOG = "clients/python/perdure/runlog"
EXECUTOR = "executor/perdure_executor"

LONGER: dict[str, tuple[int, str]] = {
    f"{SERVER}/domain/errors.py":
        (640, "the whole tree of refusals on one page, as its docstring draws it; each class is a few lines"),
    f"{SERVER}/storage/unit_of_work.py::SqlTransaction":
        (210, "a property of three lines for each aggregate"),
    f"{SERVER}/manifests/model.py":
        (370, "every field that a manifest may have, on one page"),
    f"{SERVER}/storage/tables.py":
        (870, "the whole schema on one page, in declarations; nobody reads half of a schema"),
    f"{SERVER}/storage/migrations/versions/0001_first_schema.py":
        (950, "a migration is never changed once it was released"),
    f"{SERVER}/storage/migrations/versions/0001_first_schema.py::upgrade":
        (940, "a migration is never changed once it was released"),
    f"{SERVER}/storage/writer.py::Writer":
        (195, "one commit and what follows when it fails, read in the order it happens"),
    f"{SERVER}/api/messages/flows.py::flow":
        (45, "one field a line, in the message's order"),
    f"{EXECUTOR}/held_runs.py::HeldRuns":
        (205, "the runs of one process and the one message that is gathered of them; each answer needs both"),
    f"{EXECUTOR}/worker.py::Worker":
        (180, "one stream after another, read in the order in which they are served"),
    f"{SERVER}/storage/projections.py::Projections":
        (225, "a short method for each kind of event that changes a table, and the table of them"),
    f"{SERVER}/storage/projections.py":
        (340, "every table that follows from logs, and which kind of event changes which"),
    f"{RUNLOG}/plans.py::WalkPlan":
        (170, "what follows from a plan alone: a short property or method for each"),
    f"{RUNLOG}/checker.py::LogChecker":
        (170, "one log taken event by event: what is checked of each, and what is kept for whoever compares"),
    "clients/python/perdure/cli/following/story.py::tell":
        (45, "one case for each kind of event that shows"),
    f"{EXECUTOR}/walker.py":
        (320, "one walk: what it decides, does and is answered is read together"),
    f"{EXECUTOR}/walker.py::Walker":
        (280, "one short function for each intent and each answer; what they fold is the Story, what they run a NodeRun"),
    f"{EXECUTOR}/event_stream.py::EventStream":
        (170, "one queue of events: a short method for each thing that can happen to it on its way"),
    f"{RUNLOG}/head.py":
        (375, "one fold: a short function for each kind of event, and the table of them"),
    "services/perdure_services/control_plane.py::control_plane":
        (48, "one server's life, in the order in which it is lived"),
    "clients/python/perdure/cli/main.py::program":
        (75, "options of the whole program are its parameters, one a line"),
    "protos/perdure/v1/approvals.proto":
        (410, "a service with its resource and its requests, as every other one"),
    "clients/python/perdure/cli/approvals.py::decide":
        (55, "a command's options are its parameters, one a line; its body is the request"),
    "clients/python/perdure/cli/schedules.py::create":
        (75, "a command's options are its parameters, one a line; its body is the request"),
    "protos/perdure/v1/execution.proto":
        (325, "one stream: both sides of the conversation are read together"),
    "protos/perdure/v1/run_events.proto":
        (380, "the storage format of the run's own events; numbers and files of stored messages stay"),
    "protos/perdure/v1/plans.proto":
        (440, "the format of plans: what a plan may hold is read on one page"),
    "clients/python/perdure/cli/following/lines.py::_of_event":
        (52, "one case for each kind of event that is told"),
    "protos/perdure/v1/runs.proto":
        (460, "a service with its resource and its requests, as every other one; this one has sixteen methods"),
}  # fmt: skip
"""Path, or path::name, with the most lines it may have and why it is over its budget."""


def sizes(tree: Any) -> dict[str, tuple[int, int]]:
    """Lines and budget of everything that has one."""
    found = {module.path: (module.lines, MODULE) for module in tree.modules}
    for module in tree.modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                budget = CLASS if isinstance(node, ast.ClassDef) else FUNCTION
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                key = f"{module.path}::{node.name}"
                found[key] = max(found.get(key, (0, budget)), (lines, budget))
    found |= {module.path: (module.lines, TEST_FILE) for module in tree.tests}
    return found | {path: (len(text.splitlines()), PROTO) for path, text in tree.files("protos/**/*.proto")}


def over(tree: Any, longer: dict[str, tuple[int, str]]) -> list[str]:
    return [
        f"{what} has {lines} lines; {longer.get(what, (budget,))[0]} are allowed"
        for what, (lines, budget) in sizes(tree).items()
        if lines > longer.get(what, (budget,))[0]
    ]


def test_everything_is_within_its_budget_or_in_the_table(project: Any) -> None:
    assert over(project, LONGER) == []


@pytest.mark.parametrize("what", LONGER)
def test_what_the_table_excuses_is_over_its_budget_still(project: Any, what: str) -> None:
    lines, budget = sizes(project).get(what, (0, 0))

    assert LONGER[what][1]
    assert lines > budget, f"{what} has {lines} lines, within {budget}: take it out of the table"


@pytest.mark.parametrize(
    ("path", "lines", "what"),
    [
        ("services/perdure_services/main.py", ["x = 1"] * 301, ""),
        ("services/perdure_services/main.py", ["class C:", *["    x = 1"] * 150], "::C"),
        ("services/perdure_services/main.py", ["async def f():", *["    x = 1"] * 40], "::f"),
        ("tests/unit/test_main.py", ["x = 1"] * 401, ""),
        ("protos/perdure/v1/runs.proto", ["// x"] * 301, ""),
    ],
    ids=["a module", "a class", "a function", "a test file", "a proto"],
)
def test_what_is_over_its_budget_is_found(planted: Any, path: str, lines: list[str], what: str) -> None:
    tree = planted({path: "\n".join(lines)})

    assert [offence.partition(" has ")[0] for offence in over(tree, {})] == [path + what]
    assert over(tree, {path + what: (len(lines), "it is as it should be")}) == []


def test_what_is_just_within_its_budget_is_not_found(planted: Any) -> None:
    method = ["    def f(self):", *["        x = 1"] * 39]
    tree = planted({"services/perdure_services/main.py": "\n".join(["class C:", *method, *["    x = 1"] * 109])})

    assert over(tree, {}) == []
