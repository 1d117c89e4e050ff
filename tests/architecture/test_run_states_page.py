"""`docs/run-states.md` says what the code does: its diagram and tables are read and compared."""

import re
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import CheckConstraint

from perdure.runlog.head import Hold
from perdure.runlog.recovery import CONTINUE_RELEASES
from perdure.runlog.states import CONTINUABLE, FINAL, TERMINAL, TRANSITIONS, RunState
from perdure.v1 import flows_pb2, run_inbox_pb2, run_states_pb2, runs_pb2
from perdure_control_plane.domain.flow import PRECEDENCE, STATUS_OF_RUN, FlowStatus
from perdure_control_plane.domain.inbox import WaitKind
from perdure_control_plane.storage.tables import runs

PAGE = "docs/run-states.md"
STEP = re.compile(r"^\s*(\[\*\]|[A-Z_]+) --> (\[\*\]|[A-Z_]+)\s*$", re.MULTILINE)
OUTSIDE = "[*]"


@pytest.fixture
def page(project: Any) -> str:
    return dict(project.files(PAGE))[PAGE]


def diagram(page: str) -> list[tuple[str, str]]:
    """Every step that is drawn, those from and to the outside among them."""
    drawn = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", page, re.DOTALL)
    assert drawn is not None, f"{PAGE} has no state diagram"
    steps = STEP.findall(drawn[1])
    assert len(steps) == len([line for line in drawn[1].splitlines() if line.strip()]), "a line is no plain step"
    return steps


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its head."""
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip().strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def words(constraint: str) -> list[str]:
    """The values that a CHECK constraint of the runs' table allows, in its order."""
    named = {check.name: str(check.sqltext) for check in runs.constraints if isinstance(check, CheckConstraint)}
    return re.findall(r"'(\w+)'", named[constraint])


def without(prefix: str, enum: Any) -> list[str]:
    """The values of a protobuf enum but for its zero, in order of their numbers."""
    return [value.name.removeprefix(prefix) for value in sorted(enum.DESCRIPTOR.values, key=lambda v: v.number)[1:]]


def test_the_diagram_has_exactly_the_legal_transitions(page: str) -> None:
    drawn = {step for step in diagram(page) if OUTSIDE not in step}

    assert drawn == {(state.value, to.value) for state, following in TRANSITIONS.items() for to in following}


def test_no_step_is_drawn_twice(page: str) -> None:
    steps = diagram(page)

    assert len(steps) == len(set(steps))


def test_runs_begin_and_end_where_the_diagram_says(page: str) -> None:
    steps = diagram(page)

    assert {to for state, to in steps if state == OUTSIDE} == {RunState.QUEUED, RunState.PAUSED}
    assert {state for state, to in steps if to == OUTSIDE} == FINAL
    assert {state for state, following in TRANSITIONS.items() if not following} == FINAL


def test_page_code_wire_and_database_know_the_same_states_in_the_same_order(page: str) -> None:
    states = [state.value for state in RunState]

    assert [row[0] for row in table(page, "The states")] == states
    assert without("RUN_STATE_", run_states_pb2.RunState) == states
    assert words("ck_runs_state") == states
    assert set(TRANSITIONS) == set(RunState)


def test_the_page_says_of_the_final_states_that_they_are(page: str) -> None:
    final = {row[0] for row in table(page, "The states") if row[1].endswith("Final.")}

    assert final == FINAL


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RunState.EXPIRED, "A person missed a deadline"),
        (RunState.TIMED_OUT, "The run missed a deadline of its own"),
        (RunState.INTERRUPTED, "Stopped by an operator in order to be continued"),
        (RunState.MOVED, "Another service adopted it"),
    ],
)
def test_the_page_says_what_sets_the_easily_confused_apart(page: str, state: RunState, said: str) -> None:
    meaning = dict(row[:2] for row in table(page, "The states"))

    assert meaning[state].startswith(said)


def test_the_page_says_which_ends_can_be_continued(page: str) -> None:
    rows = table(page, "Ended, and then")

    assert [row[0] for row in rows] == [state.value for state in RunState if state in TERMINAL]
    assert {row[0] for row in rows if row[1] == "yes"} == CONTINUABLE
    assert {row[0] for row in rows if row[1] == "no"} == FINAL


def test_the_page_names_every_field_that_a_continue_may_need(page: str) -> None:
    needed = {row[0]: set(re.findall(r"`(\w+)`", row[2])) for row in table(page, "Ended, and then")}
    fields = {field.name for field in runs_pb2.ContinueRunRequest.DESCRIPTOR.fields}

    assert set().union(*needed.values()) == {"reopen", "timeout"}
    assert {"reopen", "timeout"} <= fields
    assert needed[RunState.TIMED_OUT] == {"timeout"}


def test_the_page_tells_waits_from_holds_the_strongest_first(page: str) -> None:
    rows = table(page, "What a paused run waits for")

    assert [row[0] for row in rows] == without("PAUSE_REASON_", runs_pb2.PauseReason)
    assert {row[0] for row in rows if row[1] == "hold"} == {"EFFECT_IN_DOUBT", *Hold.__members__}
    assert {row[0] for row in rows if row[1] == "wait"} == {kind.name for kind in WaitKind}


def test_the_page_says_which_holds_a_continue_releases(page: str) -> None:
    released = {row[0] for row in table(page, "What a paused run waits for") if "`ContinueRun`" in row[3]}

    assert released == {hold.name for hold in Hold if hold in CONTINUE_RELEASES}


def test_flow_status_is_decided_in_the_order_of_the_page(page: str) -> None:
    rows = table(page, "What a flow's status means")
    order = [row[1] for row in rows]

    assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    assert order == [status.value for status in FlowStatus]
    assert order == [status.value for status in PRECEDENCE]
    assert order == without("STATUS_", flows_pb2.Flow.Status)


def test_each_run_state_speaks_for_the_status_that_the_page_says(page: str) -> None:
    rows = table(page, "What a flow's status means")
    said = {state: row[1] for row in rows for state in row[3].split(", ") if state}

    assert said == {state.value: status.value for state, status in STATUS_OF_RUN.items()}
    assert set(STATUS_OF_RUN) == set(RunState)


def test_the_database_s_own_guards_name_states_that_exist() -> None:
    assert words("ck_runs_lease_while_running") == [RunState.RUNNING]
    assert words("ck_runs_queued_is_ready") == [RunState.QUEUED]


def test_every_call_and_field_that_the_page_names_exists(page: str) -> None:
    services = (runs_pb2.DESCRIPTOR.services_by_name, run_inbox_pb2.DESCRIPTOR.services_by_name)
    methods = {method.name for named in services for service in named.values() for method in service.methods}
    fields = {
        field.name
        for message in (runs_pb2.Run, runs_pb2.ContinueRunRequest, flows_pb2.Flow)
        for field in message.DESCRIPTOR.fields
    }
    named = set(re.findall(r"`(\w+)`", page)) - {"DecideApproval"}

    assert {word for word in named if word[0].isupper() and not word.isupper()} <= methods
    assert {word for word in named if word.islower()} <= fields


def test_a_step_that_is_missing_or_invented_is_seen(page: str) -> None:
    steps = diagram(page.replace("    MOVED --> PAUSED\n", "    MOVED --> QUEUED\n"))

    assert ("MOVED", "PAUSED") not in steps
    assert ("MOVED", "QUEUED") in steps


def test_a_line_that_is_no_plain_step_is_refused(page: str) -> None:
    with pytest.raises(AssertionError, match="no plain step"):
        diagram(page.replace("MOVED --> PAUSED", "MOVED --> PAUSED : it comes home"))


def test_rows_are_read_from_their_own_section_only(page: str) -> None:
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    counts = [len(table(page, heading)) for heading in headings]

    assert sum(counts) + 2 * sum(count > 0 for count in counts) == page.count("\n|")
    assert all(first != following for first, following in pairwise(headings))
