"""Following: every event once, across restarts, progress on standard error only, and an exit code that says how it is."""

import asyncio
import json
import re
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from perdure.cli.following.follow import Bounds, Until, follow_flow
from perdure.client import CallFailed, Client

HOLD = """
playbook_id: hold
version: 1.0.0
title: Hold
objective: Wait for somebody
nodes:
  - {id: collect, type: deterministic, command: echo, args: [collected], effect: none}
  - {id: hold, type: approval, prompt: Go on?}
  - {id: publish, type: deterministic, command: echo, args: [published], effect: at_most_once}
"""

FAIL = """
playbook_id: fail
version: 1.0.0
title: Fail
objective: Fail
nodes:
  - id: check
    type: deterministic
    command: sh
    args: ["-c", "echo all is lost; exit 3"]
    effect: none
    on_failure: {max_iterations: 0}
"""


def held(perdure: Any) -> Any:
    """A flow that waits at its hold point, as proto JSON."""
    told = perdure.start(perdure.publish(HOLD), "--wait", "-o", "json")
    assert told.code == 9, told
    return told.document


def approve(perdure: Any, flow: Any) -> None:
    perdure.done("approvals", "approve", flow["primitive_refs"]["approvals"][0], "--yes")


def sequences(lines: list[Any]) -> list[int]:
    return [int(line["event"]["sequence"]) for line in lines if "event" in line]


def test_a_watch_goes_on_over_killed_servers_with_every_event_once(own: Callable[..., Any]) -> None:
    perdure = own()
    flow = held(perdure)
    watch = perdure.begin("flows", "watch", flow["name"], "-o", "json")
    before = [watch.stdout.readline() for _ in range(5)]

    for _ in range(2):
        perdure.server.end(signal.SIGKILL)
        perdure.server.start()
    approve(perdure, flow)
    # Not `communicate`: it reads past what `readline` has taken from the pipe and not returned yet.
    rest, err = watch.stdout.read(), watch.stderr.read()
    watch.wait()

    lines = [json.loads(line) for line in [*before, *rest.splitlines()]]
    stored = perdure("runs", "events", flow["root_run"], "-o", "json").lines
    assert watch.returncode == 0
    assert sequences(lines) == list(range(1, len(stored) + 1))
    assert [line["event"] for line in lines if "event" in line] == stored
    assert lines[-1]["flow"]["status"] == "STATUS_SUCCEEDED"
    assert "the connection to the server was lost; trying again" in err


def test_ctrl_c_leaves_at_once_and_says_how_to_follow_again(perdure: Any) -> None:
    flow = held(perdure)
    for command, name in (("flows", flow["name"]), ("runs", flow["root_run"])):
        watch = perdure.begin(command, "watch", name)
        assert "is queued" in watch.stderr.readline()

        watch.send_signal(signal.SIGINT)
        out, err = watch.communicate(timeout=30)

        assert (watch.returncode, out) == (130, "")
        again = f"no longer followed; follow it again: perdure {command} watch {name.rpartition('/')[2]}\n"
        assert err.splitlines(keepends=True)[-1] == again
        assert "Traceback" not in err


def test_time_that_is_over_has_an_exit_code_of_its_own(perdure: Any) -> None:
    flow = held(perdure)

    told = perdure("flows", "watch", flow["name"], "--wait-timeout", "300ms")

    assert told.code == 7
    assert "\nthe time is over; follow it again: perdure flows watch" in told.err


def test_a_hold_point_ends_following_where_that_is_wanted_and_says_how_to_decide(perdure: Any) -> None:
    flow = held(perdure)
    approval = flow["primitive_refs"]["approvals"][0].removeprefix("approvals/")

    told = perdure("flows", "watch", flow["name"], "--until", "held")
    alone = perdure("runs", "watch", flow["root_run"], "--until", "held")

    for one in (told, alone):
        assert (one.code, one.out) == (9, "")
        assert f"hold:1#1 waits for a decision: perdure approvals approve {approval}" in one.err


def test_a_run_is_printed_as_its_events_and_nothing_else(perdure: Any) -> None:
    flow = held(perdure)
    approve(perdure, flow)

    told = perdure("runs", "watch", flow["root_run"], "-o", "json")

    assert (told.code, told.err) == (0, "")
    assert told.lines == perdure("runs", "events", flow["root_run"], "-o", "json").lines


def test_people_see_what_happened_on_standard_error_only(perdure: Any) -> None:
    flow = held(perdure)
    approve(perdure, flow)

    told = perdure("flows", "watch", flow["name"])

    assert (told.code, told.out) == (0, "")
    said = [re.sub(r"^[\d:]+Z | after .*", "", line) for line in told.err.splitlines()]
    wanted = ["collect:1#1 started echo", "collect:1#1 succeeded", "hold:1#1 waits for a decision: Go on?"]
    wanted += ["hold:1#1 approved by anonymous", "publish:1#1 succeeded", "run completed"]
    assert [line for line in said if line in wanted] == wanted
    assert said[-1] == f"{flow['name']}: succeeded"


def test_a_failure_shows_the_last_words_and_where_the_rest_is(perdure: Any) -> None:
    told = perdure.start(perdure.publish(FAIL), "--wait", "-o", "json")
    flow = told.document

    assert told.code == 8
    assert "check:1#1 failed" in told.err
    assert "check:1#1 | all is lost" in told.err
    task = flow["primitive_refs"]["tasks"][0].rpartition("/")[2]
    assert f"check:1#1 printed: perdure tasks output ops {task}" in told.err
    assert f"it can be continued: perdure runs recovery {flow['root_run'].removeprefix('runs/')}" in told.err
    assert perdure("flows", "watch", flow["name"]).code == 8
    assert perdure("runs", "watch", flow["root_run"]).code == 8


def test_nobody_is_sent_to_look_at_what_was_not_printed(perdure: Any) -> None:
    silent = FAIL.replace("playbook_id: fail", "playbook_id: silent").replace("echo all is lost; ", "")
    missing = FAIL.replace("playbook_id: fail", "playbook_id: missing").replace(
        "command: sh", "command: no-such-program"
    )

    for manifest in (silent, missing):
        told = perdure.start(perdure.publish(manifest), "--wait", "-o", "json")
        task = told.document["primitive_refs"]["tasks"][0].rpartition("/")[2]
        assert f"check:1#1 failed: perdure tasks get ops {task}" in told.err.splitlines()
        assert "printed: " not in told.err


def test_a_flow_that_lacks_required_evidence_says_what_is_missing(perdure: Any) -> None:
    lacking = HOLD.partition("nodes:")[0].replace("hold", "lacking")
    lacking += "nodes:\n  - {id: say, type: deterministic, command: echo, args: [done], effect: none}\n"
    lacking += "required_evidence:\n  - {kind: task, id: say}\n  - {kind: review, id: nobody}\n"

    told = perdure.start(perdure.publish(lacking), "--wait", "-o", "json")

    assert told.code == 8
    missing = "failed: required evidence is missing: review nobody"
    assert missing in told.err.splitlines()
    assert missing in perdure("flows", "watch", told.document["name"]).err.splitlines()
    contract = told.document["contract"]
    assert contract["passed"] is False
    assert [check["passed"] for check in contract["checks"]] == [True, False]
    assert re.findall(r"passed: +(\w+)", perdure("flows", "get", told.document["name"]).out) == ["no", "yes", "no"]


def test_another_attempt_is_announced_only_where_one_follows(perdure: Any) -> None:
    twice = FAIL.replace("playbook_id: fail", "playbook_id: twice")
    twice = twice.replace("{max_iterations: 0}", "{max_iterations: 2}\n    retry: {initial_seconds: 0.1}")

    told = perdure.start(perdure.publish(twice), "--wait")

    failures = [line for line in told.err.splitlines() if re.search(r"check:1#\d failed", line)]
    assert ["again in" in failure for failure in failures][:2] == [True, False]


def test_a_server_that_stays_away_is_told_with_how_to_follow_again(
    own: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    perdure = own()
    flow = held(perdure)
    perdure.server.end(signal.SIGKILL)

    async def follow() -> None:
        async with Client(perdure.server.address, patience=timedelta(milliseconds=300)) as client:
            await follow_flow(client, flow["name"], Bounds(Until.SETTLED, None))

    with pytest.raises(CallFailed) as failed:
        asyncio.run(follow())

    assert failed.value.lost
    again = f"follow it again: perdure flows watch {flow['name'].removeprefix('flows/')}"
    assert again in capsys.readouterr().err
