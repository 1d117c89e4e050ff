"""What people are told when something does not work: the reason, the field, and the next thing to do."""

import socket
from typing import Any

import pytest

MISSING = {
    ("flows", "get", "nobody"): "perdure flows list",
    ("runs", "get", "nobody"): "perdure runs list",
    ("runs", "events", "nobody"): "perdure runs list",
    ("runs", "watch", "nobody"): "perdure runs list",
    ("runs", "recovery", "nobody"): "perdure runs list",
    ("sessions", "get", "nobody"): "perdure sessions list",
    ("agents", "get", "nobody"): "perdure agents list",
    ("approvals", "get", "nobody"): "perdure approvals list --state all",
    ("approvals", "approve", "nobody", "--yes"): "perdure approvals list --state all",
    ("playbooks", "get", "nobody"): "perdure playbooks list",
    ("tasks", "output", "nowhere", "nobody"): "perdure tasks list nowhere",
}


@pytest.mark.parametrize("command", MISSING, ids=" ".join)
def test_what_is_not_there_is_named_and_the_list_of_what_is_there_too(perdure: Any, command: tuple[str, ...]) -> None:
    told = perdure(*command)

    assert (told.code, told.out) == (3, "")
    assert told.err.startswith("Error: there is no ")
    assert "(NOT_FOUND)" in told.err
    assert told.err.endswith(f"Next:  {MISSING[command]}\n")


def test_without_a_server_it_says_how_to_start_one(perdure: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{unused.getsockname()[1]}"

    told = perdure("status", "--server", nobody)

    assert (told.code, told.out) == (6, "")
    assert f"Error: nothing answers at {nobody} (UNAVAILABLE)" in told.err
    assert "Next:  start a server (perdure-server up), or name another with --server or PERDURE_SERVER" in told.err


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        (["runs", "get", "a b"], "'a b' is not the id of a run"),
        (["runs", "get", "flows/x"], "'flows/x' does not name a run"),
        (["runs", "watch", "x", "--timeout", "soon"], "'soon' is not a duration"),
        (["runs", "list", "--state", "asleep"], "asleep"),
        (["playbooks", "validate", "--manifest-file", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["runs", "resolve", "x"], "say what became of it"),
        (["tasks", "get", "ops"], "say which task"),
        (["flow", "list"], "Did you mean 'flows'"),
    ],
)
def test_what_is_typed_wrong_is_named_before_anything_is_asked(perdure: Any, command: list[str], wrong: str) -> None:
    told = perdure(*command)

    assert (told.code, told.out) == (2, "")
    assert wrong in told.err
    assert "--help" in told.err


def test_a_reader_that_goes_away_is_no_error(perdure: Any) -> None:
    process = perdure.begin("runtime", "get")
    process.stdout.close()

    _, err = process.communicate(timeout=30)

    assert "Traceback" not in err
