"""`perdure runs why`, and lists of runs by what keeps them."""

import re
from typing import Any

import yaml

WORK = """
playbook_id: work
version: 1.0.0
title: Work
objective: Do it
nodes:
  - {id: only, type: deterministic, command: sleep, args: ["60"], effect: EFFECT, timeout_ms: LIMIT}
"""
ENDLESS = WORK.replace("EFFECT", "none").replace("LIMIT", "60000")
DOUBTED = WORK.replace("work", "doubted").replace("EFFECT", "at_most_once").replace("LIMIT", "100")


def test_a_run_that_nobody_serves_says_so_in_every_format(perdure: Any) -> None:
    run = perdure.start(perdure.publish(ENDLESS), "--queue", "gpu", "-o", "json").document["root_run"]

    told, document = perdure("runs", "why", run), perdure.done("runs", "why", run)

    head, reason = told.out.splitlines()
    assert re.fullmatch(r"QUEUED, BECAUSE +SINCE +NEXT CHECK", head)
    assert re.fullmatch(r"no live executor serves its queue gpu +\d+s", reason)
    assert told.err == "perdure-server executor --queue gpu\n"
    assert document["state"] == "RUN_STATE_QUEUED"
    assert document["reasons"][0]["unserved"]["lack"] == "LACK_QUEUE"
    assert "next_check_time" not in document
    assert yaml.safe_load(perdure("runs", "why", run, "-o", "yaml").out).keys() == document.keys()
    perdure.done("runs", "pause", run, "--reason", "wait for the machine")
    held = perdure("runs", "why", run)
    assert re.search(r"^PAUSED, BECAUSE .*\npaused by anonymous: wait for the machine +\ds$", held.out, re.MULTILINE)
    assert held.err == f"perdure runs resume {run.removeprefix('runs/')}\n"
    assert run.removeprefix("runs/") in perdure("runs", "list", "--because", "held").out
    assert run.removeprefix("runs/") not in perdure("runs", "list", "--because", "awaits-decision").out
    perdure.done("runs", "cancel", run)


def test_a_run_that_moves_says_what_it_does(perdure: Any) -> None:
    started = perdure.start(perdure.publish(ENDLESS), "-o", "json").document
    follower = perdure.begin("flows", "watch", started["name"])
    while "only:1#1 started" not in follower.stderr.readline():
        pass

    told = perdure("runs", "why", started["root_run"])

    assert re.search(r"^RUNNING, BECAUSE .*\nexecutor \S+ works on only:1#1 +\d+s +in \d+s$", told.out, re.MULTILINE)
    assert told.err == ""
    perdure.done("runs", "cancel", started["root_run"])


def test_what_an_ended_run_left_in_doubt_is_found_and_counted(perdure: Any) -> None:
    run = perdure.start(perdure.publish(DOUBTED), "--wait", "-o", "json").document["root_run"]
    step = f"perdure runs resolve {run.removeprefix('runs/')} 'only:1#1' --as done|retry|failed"
    doubted = perdure("runs", "why", run)
    perdure.done("runs", "cancel", run)

    ended, listed, status = (
        perdure("runs", "why", run),
        perdure("runs", "list", "--because", "in-doubt"),
        perdure("status"),
    )
    document = perdure.done("status")
    perdure.done("runs", "resolve", run, "--as", "failed", "--yes")

    for told in (doubted, ended):
        assert "nobody knows whether only:1#1 happened" in told.out
        assert step in told.err.splitlines()
    assert "CANCELLED, BECAUSE" in ended.out
    assert run.removeprefix("runs/") in listed.out
    assert re.search(r"^ended: +1 effect in doubt of runs that have ended$", status.out, re.MULTILINE)
    assert "look at what was left in doubt: perdure runs list --because in-doubt\n" in status.err
    assert document["doubts_of_ended_runs"] == 1
    assert perdure.done("status")["doubts_of_ended_runs"] == 0
    assert "nobody knows" not in perdure("runs", "why", run).out


def test_a_run_that_does_not_exist_is_not_explained(perdure: Any) -> None:
    told = perdure("runs", "why", "01a20073-7b10-72dd-9780-18e81409d8fa")

    assert told.code == 3
