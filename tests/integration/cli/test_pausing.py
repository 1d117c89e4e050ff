"""`perdure runs pause` and `resume`: what is held says so everywhere, by whom, and why."""

import re
from typing import Any

import pytest

WORK = """
playbook_id: work
version: 1.0.0
title: Work
objective: Do it
nodes:
  - {id: only, type: deterministic, command: "true", effect: none}
"""
GATED = WORK.replace("work", "gated").replace(
    'deterministic, command: "true", effect: none', "approval, prompt: Go on?"
)


@pytest.fixture
def waiting(perdure: Any) -> str:
    """A run in a queue that nobody serves."""
    started = perdure.start(perdure.publish(WORK), "--queue", "nobody", "-o", "json")
    return str(started.document["root_run"]).removeprefix("runs/")


def test_a_paused_run_says_so_everywhere_with_who_paused_it_and_why(perdure: Any, waiting: str) -> None:
    paused = perdure.done("runs", "pause", waiting, "--reason", "the disk is full")
    step = rf"paused by anonymous: the disk is full: perdure runs resume {waiting}$"

    shown, listed = perdure("runs", "get", waiting), perdure("runs", "list", "--state", "paused")
    recovery, flow = perdure("runs", "recovery", waiting), perdure("flows", "get", paused["flow"])
    watched, status = perdure("runs", "watch", waiting, "--until", "held"), perdure("status")

    assert paused["state"] == "RUN_STATE_PAUSED"
    assert [hold["reason"] for hold in paused["holds"]] == ["the disk is full"]
    for line in (r"^pause reason: +operator$", r"^  - cause: +operator$", r"^    reason: +the disk is full$"):
        assert re.search(line, shown.out, re.MULTILINE), shown.out
    assert re.search(rf"^{waiting} +paused +operator ", listed.out, re.MULTILINE)
    assert re.search(r"^needs: +resume$", recovery.out, re.MULTILINE)
    for told in (recovery, flow, status):
        assert re.search(step, told.err, re.MULTILINE), told.err
    assert re.search(r"^status: +waiting$", flow.out, re.MULTILINE)
    assert watched.code == 9
    assert "Z the run is held by anonymous (operator): the disk is full\n" in watched.err
    assert f"it is paused by anonymous: the disk is full: perdure runs resume {waiting}\n" in watched.err
    assert re.search(r"^held: +\d+ runs? \(\d+ effects? in doubt, [1-9]\d* paused\)$", status.out, re.MULTILINE)
    assert perdure.done("status")["paused_runs"] >= 1
    perdure.done("runs", "cancel", waiting)


def test_a_resumed_run_goes_on_and_is_not_resumed_twice(perdure: Any, waiting: str) -> None:
    perdure.done("runs", "pause", waiting)
    refused = perdure("runs", "continue", waiting, "--yes")

    resumed = perdure.done("runs", "resume", waiting, "--reason", "mended")
    again = perdure("runs", "resume", waiting)
    perdure.done("runs", "cancel", waiting)
    watched = perdure("runs", "watch", waiting)

    assert refused.code == 5
    assert f"Next:  perdure runs resume {waiting}" in refused.err
    assert resumed["state"] == "RUN_STATE_QUEUED"
    assert "holds" not in resumed or resumed["holds"] == []
    assert again.code == 5
    assert "(NOT_HELD)" in again.err
    assert f"Next:  look at what keeps it from going on: perdure runs why {waiting}" in again.err
    assert "the run is held no longer, released by anonymous (operator): mended\n" in watched.err


def test_a_run_that_has_ended_is_not_paused(perdure: Any) -> None:
    run = perdure.start(perdure.publish(WORK), "--wait", "-o", "json").document["root_run"]

    refused = perdure("runs", "pause", run)

    assert refused.code == 5
    assert "is COMPLETED; it has ended already" in refused.err


def test_a_paused_hold_point_is_decided_and_goes_on_when_it_is_resumed(perdure: Any) -> None:
    flow = perdure.start(perdure.publish(GATED), "--wait", "-o", "json").document
    run = flow["root_run"]
    perdure.done("runs", "pause", run)
    (approval,) = [one for one in perdure("approvals", "list", "-o", "json").lines if one["run"] == run]

    perdure.done("approvals", "approve", approval["name"], "--yes")
    held = perdure.done("runs", "get", run)
    perdure.done("runs", "resume", run)

    assert held["pause_reason"] == "PAUSE_REASON_OPERATOR"
    assert perdure("flows", "watch", flow["name"]).code == 0


def test_a_flow_is_paused_with_its_runs_and_resumed(perdure: Any, waiting: str) -> None:
    flow = perdure.done("runs", "get", waiting)["flow"]

    paused = perdure.done("flows", "pause", flow, "--reason", "the disk is full")
    held = perdure.done("runs", "get", waiting)
    resumed = perdure.done("flows", "resume", flow)
    again = perdure("flows", "resume", flow)

    assert paused["status"] == "STATUS_WAITING"
    assert [hold["reason"] for hold in held["holds"]] == ["the disk is full"]
    assert resumed["status"] == "STATUS_RUNNING"
    assert again.code == 5
    assert "(NOT_HELD)" in again.err
    perdure.done("flows", "cancel", flow)
