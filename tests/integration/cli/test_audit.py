"""`perdure audit`: who did what, and whether what is told of it is what was recorded."""

import contextlib
import json
import pathlib
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

MANIFEST = """
playbook_id: line
version: 1.0.0
title: A line
objective: Walk it
nodes:
  - {id: a, type: approval, prompt: go on?}
"""


ADDED = """
INSERT INTO audit_events SELECT 'added', recorded_at, type, principal, authenticated, peer, method, resource, outcome,
reason, request_id, details, 4, previous_hash, hash FROM audit_events WHERE position = 3
"""


def acted(perdure: Any) -> dict[str, Any]:
    """Does some things and returns the head of the chain when all of them are sealed."""
    perdure.publish(MANIFEST)
    for number in range(6):
        perdure.done("sessions", "create", f"s{number}")
    return sealed(perdure)


def sealed(perdure: Any) -> dict[str, Any]:
    """The head of the chain when nothing is left to seal."""
    while (head := perdure.done("audit", "head"))["unsealed_events"]:
        pass
    return dict(head)


def bend(perdure: Any, *statements: str) -> None:
    """Does to a store what no part of the server does."""
    with contextlib.closing(sqlite3.connect(perdure.server.data_dir / "perdure.db")) as database, database:
        for statement in statements:
            database.execute(statement)


def positions(told: Any) -> list[int]:
    return [fault["position"] for fault in told.document["faults"]]


def test_events_are_listed_latest_first_and_narrowed(perdure: Any) -> None:
    acted(perdure)

    every = perdure("audit", "list", "-o", "json").lines
    made = perdure("audit", "list", "--type", "session.created", "--type", "playbook.created", "-o", "json").lines
    of_one = perdure("audit", "list", "--resource", "sessions/s3", "--principal", "anonymous", "--since", "1h")
    nothing = perdure("audit", "list", "--until", "2020-01-01", "-o", "json")
    few = perdure("audit", "list", "--limit", "2")

    assert [event["type"] for event in every][-2:] == ["playbook.published", "playbook.created"]
    assert {event["type"] for event in made} == {"session.created", "playbook.created"}
    assert len(of_one.out.splitlines()) == 2
    assert "session.created" in of_one.out
    assert (nothing.code, nothing.out) == (0, "")
    assert "there are more than these 2" in few.err
    assert every[0]["peer"].startswith("ipv4:127.0.0.1:")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--type", "run.invented"), "run.created"),
        (("list", "--since", "yesterday"), "how long ago"),
        (("verify", "--remembered", "7"), "POSITION:HASH"),
        (("verify", "--remembered", f"7:{'g' * 64}"), "64 hexadecimal digits"),
        (("verify", "--remembered", f"{'7' * 5000}:{'a' * 64}"), "POSITION:HASH"),
        (("verify", "--public-key", "abc"), "64 hexadecimal digits"),
        (("verify", "--export", "nowhere"), "No such file"),
    ],
)
def test_what_is_asked_wrong_is_refused_with_the_way_out(perdure: Any, arguments: tuple[str, ...], said: str) -> None:
    told = perdure("audit", *arguments)

    assert told.code == 2
    assert said in told.err


def test_a_chain_that_nobody_touched_is_whole_and_says_how_far(perdure: Any) -> None:
    head = acted(perdure)

    told = perdure("audit", "verify", "--remembered", head["remembered"], "--public-key", head["public_key"])
    document = perdure.done("audit", "verify", "--remembered", head["remembered"])

    assert (told.code, told.out) == (0, "")
    assert "0 events not sealed yet" in told.err
    assert f"the chain is whole\nit ends at {head['remembered']}\n" in told.err
    assert document["events"] == document["last_position"] == head["position"]
    assert (document["first_position"], document["faults"], document["remembered_compared"]) == (1, [], True)
    assert document["public_keys"] == [head["public_key"]]
    assert head["signed_head"]["position"] >= 1


def test_events_that_are_not_sealed_yet_are_counted(own: Callable[..., Any]) -> None:
    perdure = own()
    before = acted(perdure)
    bend(perdure, "CREATE TRIGGER nobody BEFORE UPDATE ON audit_events BEGIN SELECT RAISE(ABORT, 'no'); END")
    perdure.done("sessions", "create", "one-more")

    told = perdure("audit", "verify")

    assert told.code == 0
    assert ", 1 event not sealed yet\n" in told.err
    assert told.err.endswith(f"it ends at {before['remembered']}\n")


@pytest.mark.parametrize(
    ("statements", "position"),
    [
        (["UPDATE audit_events SET principal = 'eve' WHERE position = 4"], 4),
        (["DELETE FROM audit_events WHERE position = 4"], 4),
        (["DELETE FROM audit_events WHERE position >= 4"], 4),
        (
            [
                "UPDATE audit_events SET position = 1000 WHERE position = 4",
                "UPDATE audit_events SET position = 4 WHERE position = 5",
                "UPDATE audit_events SET position = 5 WHERE position = 1000",
            ],
            4,
        ),
        (
            [
                "UPDATE audit_events SET position = position + 1000 WHERE position >= 4",
                "UPDATE audit_events SET position = position - 999 WHERE position >= 1004",
                ADDED,
            ],
            4,
        ),
    ],
    ids=["changed", "dropped", "cut off", "swapped", "added"],
)
def test_what_is_bent_in_the_store_is_found_and_the_first_is_named(
    own: Callable[..., Any], statements: list[str], position: int
) -> None:
    perdure = own()
    acted(perdure)
    bend(perdure, *statements)

    told = perdure("audit", "verify", "-o", "json")
    table = perdure("audit", "verify")

    assert (told.code, table.code) == (1, 1)
    assert min(positions(told)) == position
    assert table.out.startswith(f"position {position}: ")
    assert f"the chain is broken: the first fault is at position {position}\n" in table.err


def test_a_chain_that_was_cut_off_whole_is_found_by_who_kept_its_head(own: Callable[..., Any]) -> None:
    perdure = own()
    head = acted(perdure)
    bend(
        perdure,
        "DELETE FROM audit_events WHERE position > 4",
        "UPDATE audit_chain SET position = 4, hash = (SELECT hash FROM audit_events WHERE position = 4)",
        "DELETE FROM audit_heads",
    )

    unaware = perdure("audit", "verify", "-o", "json")
    aware = perdure("audit", "verify", "--remembered", head["remembered"], "-o", "json")

    assert unaware.code == 0
    assert (aware.code, positions(aware)) == (1, [5])


def test_an_export_is_checked_without_a_server_and_what_is_bent_in_it_found(
    perdure: Any, tmp_path: pathlib.Path
) -> None:
    head = acted(perdure)
    file = tmp_path / "audit.jsonl"

    written = perdure("audit", "export", "--to", file)
    whole = perdure("--server", "127.0.0.1:1", "audit", "verify", "--export", file, "--remembered", head["remembered"])
    again = perdure("audit", "export", "--to", file)
    lines = file.read_bytes().splitlines(keepends=True)
    events = [index for index, line in enumerate(lines) if b'"event"' in line[:10]]
    fourth = events[3]

    def bent(change: Callable[[list[bytes]], object]) -> int:
        changed = list(lines)
        change(changed)
        file.write_bytes(b"".join(changed))
        told = perdure("audit", "verify", "--export", file, "-o", "json")
        assert told.code == 1
        return min(positions(told))

    assert (written.code, whole.code, again.code) == (0, 0, 5)
    assert file.stat().st_mode & 0o777 == 0o600
    assert written.err.endswith(f"events in {file}, 0 events not sealed yet\n")
    assert bent(lambda these: these.__setitem__(fourth, these[fourth].replace(b"anonymous", b"eve"))) == 4
    assert bent(lambda these: these.pop(fourth)) == 4
    assert bent(lambda these: these.insert(fourth, these.pop(events[5]))) == 4
    assert bent(lambda these: these.insert(fourth, these[fourth])) == 4
    assert bent(lambda these: these.__delitem__(slice(events[-1], None))) == len(events)
    assert bent(lambda these: these.pop()) == len(events) + 1
    assert bent(lambda these: these.__setitem__(fourth, b"nonsense\n")) == 4


def test_an_export_can_go_to_standard_output_and_begin_after_a_position(perdure: Any, tmp_path: pathlib.Path) -> None:
    acted(perdure)
    file = tmp_path / "audit.jsonl"

    told = perdure.into(str(file), "audit", "export", "--to", "-", "--after", "3", "-o", "json")
    documents = [json.loads(line) for line in file.read_text().splitlines()]

    assert told.code == 0
    assert documents[0] == {"header": {"form": 1}}
    assert next(each["event"]["position"] for each in documents if "event" in each) == 4
    assert set(documents[-1]) == {"end"}


def test_a_file_that_is_no_export_is_refused(perdure: Any, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "other"
    file.write_text("nothing of the kind")

    told = perdure("audit", "verify", "--export", file)

    assert told.code == 2
    assert "none of an audit export" in told.err


def test_the_head_is_shown_with_what_to_keep(perdure: Any) -> None:
    head = acted(perdure)

    told = perdure("audit", "head")

    assert f"hash:        {head['hash']}" in told.out
    assert told.err == f"keep this somewhere else, for `perdure audit verify --remembered`: {head['remembered']}\n"
