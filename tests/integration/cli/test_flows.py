"""`perdure flows` and what belongs to a flow: sessions, runs, tasks, agents."""

import base64
import json
import pathlib
from typing import Any

import pytest
import yaml

GREET = """
playbook_id: greet
version: 1.0.0
title: Greet
objective: Greet somebody
inputs:
  type: object
  properties: {who: {type: string}, times: {type: integer}}
  required: [who]
nodes:
  - {id: greet, type: deterministic, command: sh, args: ["-c", "echo good morning {{ who }}; echo hush >&2"], effect: none}
"""

REQUEST = {
    "provider": None, "source_plugin": "chat", "source_kind": "message", "actor_id": "u-7", "content": "be nice",
    "input_items": [], "attachments": [], "generation": {}, "metadata": {"ticket": "T-1"}, "binding_keys": [],
    "reply_targets": [], "reply_plugin": None, "reply_address": None,
}  # fmt: skip


@pytest.fixture
def greeted(perdure: Any) -> Any:
    """A flow that has succeeded, as proto JSON."""
    started = perdure.start(perdure.publish(GREET), "--input", "who=Ada", "--wait", "-o", "json")
    assert started.code == 0, started
    return started.document


def test_a_flow_is_started_followed_and_its_output_read(perdure: Any) -> None:
    told = perdure.start(perdure.publish(GREET), "--input", "who=Ada", "--flow-id", "morning", "--wait")

    assert told.code == 0
    assert told.out.splitlines()[1].split()[:2] == ["morning", "succeeded"]
    assert "greet:1#1 succeeded" in told.err
    flow = perdure.done("flows", "get", "morning")
    task = perdure("tasks", "output", flow["primitive_refs"]["tasks"][0], "--full")
    assert (task.out, task.err) == ("good morning Ada\n", "hush\n")


def test_without_waiting_it_says_how_to_follow(perdure: Any) -> None:
    told = perdure.start(perdure.publish(GREET), "--input", "who=Ada", "--flow-id", "later")

    assert told.code == 0
    assert told.err == "follow it: perdure flows watch later\n"
    assert perdure("flows", "watch", "later").code == 0


def test_the_same_key_begins_one_flow_and_another_request_under_it_is_refused(perdure: Any) -> None:
    version = perdure.publish(GREET)
    first = perdure.start(version, "--input", "who=Ada", "--idempotency-key", "once", "-o", "json").document

    again = perdure.start(version, "--input", "who=Ada", "--idempotency-key", "once", "-o", "json").document
    other = perdure.start(version, "--input", "who=Bob", "--idempotency-key", "once")
    perdure("flows", "watch", first["name"])
    plain = perdure.start(version, "--input", "who=Ada", "--idempotency-key", "once")
    followed = perdure.start(version, "--input", "who=Ada", "--idempotency-key", "once", "--wait")

    began = first["create_time"].replace("T", " ")[:19]
    assert f"started before, at {began} UTC" in plain.err
    assert f"{first['name']} was started before, at {began} UTC" in followed.err
    assert again["name"] == first["name"]
    assert other.code == 5
    assert "(REQUEST_ID_REUSED)" in other.err
    assert "Next:  choose a new --idempotency-key" in other.err


def test_a_request_file_is_taken_as_it_is(perdure: Any, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST))

    told = perdure.start(perdure.publish(GREET), "--request-file", str(file), "--input", "who=Ada", "-o", "json")

    assert told.code == 0, told
    flow = told.document
    assert flow["source"] == {"source_plugin": "chat", "source_kind": "message", "actor_id": "u-7"}
    assert flow["metadata"]["ticket"] == "T-1"


def test_what_a_request_file_asks_for_and_nobody_does_is_refused_by_its_key(
    perdure: Any, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST | {"reply_plugin": "chat"}))

    told = perdure.start(perdure.publish(GREET), "--request-file", str(file), "--input", "who=Ada")

    assert told.code == 2
    assert "'reply_plugin' is not supported" in told.err


def test_a_missing_and_a_wrong_input_are_named_with_the_option(perdure: Any) -> None:
    version = perdure.publish(GREET)

    missing = perdure.start(version)
    wrong = perdure.start(version, "--input", "who=Ada", "--input", "times=many")

    assert (missing.code, wrong.code) == (2, 2)
    assert "request.input: 'who' is a required property (FIELD_INVALID)" in missing.err
    assert "Next:  correct --input or --input-json" in missing.err
    assert "request.input.times: " in wrong.err


def test_a_flow_session_run_task_and_agent_are_listed_and_shown_in_every_format(perdure: Any, greeted: Any) -> None:
    task, agent = greeted["primitive_refs"]["tasks"][0], greeted["primitive_refs"]["agents"][0]
    listed = {
        ("flows", "list"): greeted["name"],
        ("sessions", "list"): "sessions/ops",
        ("runs", "list"): greeted["root_run"],
        ("tasks", "list", "ops"): task,
        ("agents", "list"): agent,
    }
    for command, name in listed.items():
        table, lines = perdure(*command), perdure(*command, "-o", "json").lines
        assert name.rpartition("/")[2] in table.out
        assert name in [line["name"] for line in lines]
        shown = [command[0], "get", name]
        assert perdure.done(*shown) == yaml.safe_load(perdure(*shown, "-o", "yaml").out)
        assert perdure(*shown).out.splitlines()[0].split() == ["name:", name]


def test_a_runs_log_and_checkpoints_are_listed(perdure: Any, greeted: Any) -> None:
    run = greeted["root_run"]

    events = perdure("runs", "events", run, "-o", "json").lines
    table = perdure("runs", "events", run).out.splitlines()
    after = perdure("runs", "events", run, "--after", "3", "-o", "json").lines
    session = perdure("sessions", "events", "ops", "-o", "json").lines
    checkpoints = perdure("runs", "checkpoints", run, "-o", "json").lines

    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    assert len(table) == len(events) + 1
    assert after == events[3:]
    assert [event for event in session if event["run_id"] == run.removeprefix("runs/")] == events
    assert checkpoints[-1]["checkpoint_id"] == f"{run.removeprefix('runs/')}@{len(events)}"


def test_lists_are_cut_where_the_limit_says_and_tell_of_the_rest(perdure: Any) -> None:
    version = perdure.publish(GREET)
    for key in ("list-1", "list-2"):
        assert perdure.start(version, "--input", "who=Ada", "--idempotency-key", key).code == 0

    told = perdure("flows", "list", "--limit", "1", "-o", "json")

    assert len(told.lines) == 1
    assert told.err == "there are more than these 1; raise --limit to see them\n"


def test_the_end_of_an_output_is_shown_unless_all_of_it_is_asked_for(perdure: Any) -> None:
    long = GREET.replace("greet", "long").replace("echo good", "seq 1 5000; echo good")
    flow = perdure.start(perdure.publish(long), "--input", "who=Ada", "--wait", "-o", "json").document
    task = flow["primitive_refs"]["tasks"][0].rpartition("/")[2]

    end = perdure("tasks", "output", "ops", task)
    full = perdure("tasks", "output", "ops", task, "--full")
    pieces = perdure("tasks", "output", "ops", task, "-o", "json").lines

    assert full.out == "".join(f"{number}\n" for number in range(1, 5001)) + "good morning Ada\n"
    assert full.out.endswith(end.out)
    assert len(end.out) <= 8192
    assert f"[{len(full.out) + len(full.err) - 8192} bytes before this; --full shows them]" in end.err
    stdout = [piece for piece in pieces if piece["stream"] == "OUTPUT_STREAM_STDOUT"]
    assert b"".join(base64.b64decode(piece["content"]) for piece in stdout).decode() == full.out
