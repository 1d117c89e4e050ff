"""Runs that stand still: stopped, continued, and with an effect nobody knows about."""

import pathlib
import re
from typing import Any

import pytest

DOUBT = """
playbook_id: doubt
version: 1.0.0
title: Doubt
objective: Leave somebody in doubt
nodes:
  - {id: send, type: deterministic, command: sh, args: ["-c", "echo began; sleep 60"], effect: at_most_once, timeout_ms: 200}
  - {id: after, type: deterministic, command: echo, args: ["{{ nodes.send.receipt }}"], effect: none}
"""

MENDED = """
playbook_id: mended
version: 1.0.0
title: Mended
objective: Fail until somebody mends it
nodes:
  - {id: check, type: deterministic, command: test, args: ["-e", "mended"], effect: none, on_failure: {max_iterations: 0}}
"""


@pytest.fixture
def doubted(perdure: Any) -> Any:
    told = perdure.start(perdure.publish(DOUBT), "--wait", "-o", "json")
    assert told.code == 9, told
    assert "nobody knows whether send:1#1 happened: perdure runs recovery" in told.err
    return told.document


def test_an_effect_in_doubt_is_shown_with_what_it_printed_and_settled(perdure: Any, doubted: Any) -> None:
    run = doubted["root_run"]

    status = perdure("status")
    recovery = perdure("runs", "recovery", run)
    output = perdure("tasks", "output", perdure.done("runs", "recovery", run)["in_doubt"][0]["task"])
    resolved = perdure(
        "runs", "resolve", run, "--as", "done", "--output-json", '{"receipt": "R-9"}', "--yes", "--reason", "it came"
    )

    assert re.search(r"^held: +[1-9]\d* runs? \([1-9]\d* effects? in doubt, \d+ paused\)$", status.out, re.MULTILINE)
    assert "look at what is held: perdure runs list --state paused --because held --because in-doubt" in status.err
    assert "perdure runs resolve" in recovery.err
    assert output.out == "began\n"
    assert resolved.code == 0
    assert "send:1#1" in resolved.err
    assert f"follow it: perdure runs watch {run.removeprefix('runs/')}" in resolved.err
    watched = perdure("flows", "watch", doubted["name"])
    assert watched.code == 0
    assert "send:1#1 resolved as done by anonymous: it came\n" in watched.err
    tasks = perdure.done("flows", "get", doubted["name"])["primitive_refs"]["tasks"]
    assert perdure("tasks", "output", tasks[-1]).out == "R-9\n"


def test_what_was_settled_is_not_named_as_in_doubt_any_more(perdure: Any, doubted: Any) -> None:
    perdure.done("runs", "resolve", doubted["root_run"], "--as", "retry", "--yes")

    for command, name in (("flows", doubted["name"]), ("runs", doubted["root_run"])):
        told = perdure(command, "watch", name, "--until", "held")
        assert told.code == 9
        hints = [line for line in told.err.splitlines() if line.startswith("nobody knows")]
        assert [hint.partition(":  ")[0].partition(" happened")[0] for hint in hints] == [
            "nobody knows whether send:1#2"
        ]


def test_nothing_is_settled_where_nobody_can_be_asked(perdure: Any, doubted: Any) -> None:
    told = perdure("runs", "resolve", doubted["root_run"], "--as", "failed")

    assert told.code == 2
    assert "add --yes to do it" in told.err
    assert len(perdure.done("runs", "recovery", doubted["root_run"])["in_doubt"]) == 1


def test_a_run_that_is_stopped_with_an_effect_in_doubt_says_so(perdure: Any, doubted: Any) -> None:
    run = doubted["root_run"]
    said = f"1 effect is in doubt: perdure runs recovery {run.removeprefix('runs/')}\n"

    interrupted = perdure("runs", "interrupt", run)
    cancelled = perdure("runs", "cancel", run)
    flow = perdure("flows", "cancel", doubted["name"])
    settled = perdure("runs", "resolve", run, "--as", "failed", "--yes")

    assert [told.err for told in (interrupted, cancelled, flow)] == [said] * 3
    assert settled.code == 0
    assert perdure("runs", "cancel", run).err == ""


def test_a_run_that_waits_for_a_person_says_for_whom(perdure: Any) -> None:
    hold = MENDED.replace("mended", "asking").partition("nodes:")[0]
    hold += "nodes:\n  - {id: hold, type: approval, prompt: Go on?}\n"
    flow = perdure.start(perdure.publish(hold), "--wait", "-o", "json").document
    run = flow["root_run"]
    (wait,) = perdure.done("runs", "get", run)["waits"]
    approval = wait["approval"].removeprefix("approvals/")
    step = f"hold:1#1 waits for a person to decide: perdure approvals approve {approval}"

    continued = perdure("runs", "continue", run, "--yes")

    assert perdure("runs", "recovery", run).err.splitlines() == [step]
    assert perdure("flows", "get", flow["name"]).err.splitlines() == [step]
    assert continued.code == 5
    assert "is paused, and needs no continue" in continued.err
    assert f"Next:  perdure runs recovery {run.removeprefix('runs/')}" in continued.err
    perdure.done("runs", "cancel", run)
    assert perdure("runs", "recovery", run).err == ""


def test_a_run_that_no_executor_serves_says_so(perdure: Any) -> None:
    version = perdure.publish(MENDED.replace("mended", "elsewhere"))

    started = perdure.start(version, "--queue", "gpu", "--flow-id", "nowhere")
    run = perdure.done("flows", "get", "nowhere")["root_run"]

    step = "no live executor serves its queue gpu: perdure-server executor --queue gpu"
    assert started.err.splitlines() == [step, "follow it: perdure flows watch nowhere"]
    assert perdure("runs", "recovery", run).err.splitlines() == [step]
    assert perdure("flows", "get", "nowhere").err.splitlines() == [step]


def test_what_is_not_in_doubt_cannot_be_settled(perdure: Any, doubted: Any) -> None:
    told = perdure("runs", "resolve", doubted["root_run"], "other:1#1", "--as", "done", "--yes")

    assert told.code == 5
    assert "other:1#1 has no effect in doubt; these have: send:1#1" in told.err
    assert "Next:  perdure runs recovery" in told.err


def test_a_run_that_failed_is_continued_when_its_cause_is_mended(perdure: Any) -> None:
    failed = perdure.start(perdure.publish(MENDED), "--wait", "-o", "json")
    run = failed.document["root_run"]
    assert failed.code == 8

    pathlib.Path(perdure.server.directory / "mended").touch()
    told = perdure("runs", "continue", run, "--yes", "--reason", "the file is there")

    assert told.code == 0
    assert "can continue:      yes" in told.err
    assert perdure("flows", "watch", failed.document["name"]).code == 0
    assert perdure("runs", "continue", run).code == 5


def test_a_stopped_run_is_continued_and_a_cancelled_one_is_not(perdure: Any) -> None:
    hold = MENDED.replace("mended", "stopped").partition("nodes:")[0]
    hold += "nodes:\n  - {id: hold, type: approval, prompt: Go on?}\n"
    run = perdure.start(perdure.publish(hold), "--wait", "-o", "json").document["root_run"]

    stopped = perdure.done("runs", "interrupt", run, "--reason", "lunch")
    continued = perdure.done("runs", "continue", run, "--yes", "--reason", "lunch is over")
    assert perdure("runs", "watch", run, "--until", "held").code == 9
    cancelled = perdure.done("runs", "cancel", run)
    final = perdure("runs", "continue", run)
    again = perdure("runs", "interrupt", run)
    watched, logged = perdure("runs", "watch", run), perdure("runs", "events", run)

    assert re.search(r"^[\d:]+Z run interrupted by anonymous: lunch$", watched.err, re.MULTILINE)
    assert re.search(r"^[\d:]+Z the run goes on, continued by anonymous: lunch is over$", watched.err, re.MULTILINE)
    assert "  run continued " in logged.out
    assert "by=anonymous answers sequence=" in logged.out
    assert "perdure runs recovery" not in watched.err
    assert "perdure approvals approve" not in watched.err
    assert stopped["state"] == "RUN_STATE_INTERRUPTED"
    assert again.code == 5
    assert "(RUN_STATE)" in again.err
    assert "Next:  look at where it stands: perdure runs get" in again.err
    assert continued["state"] == "RUN_STATE_QUEUED"
    assert cancelled["state"] == "RUN_STATE_CANCELLED"
    assert final.code == 5
    assert "is cancelled, which is final" in final.err
