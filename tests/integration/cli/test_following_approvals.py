"""`perdure approvals watch`: a line for each that is open and for each change, over restarts, until it is interrupted."""

import json
import signal
from collections.abc import Callable
from typing import Any

from tests.integration.cli.test_following import approve, held


def test_approvals_are_followed_over_a_killed_server(own: Callable[..., Any]) -> None:
    perdure = own()
    flow = held(perdure)
    watch = perdure.begin("approvals", "watch", "-o", "json")
    first, end = json.loads(watch.stdout.readline()), json.loads(watch.stdout.readline())

    perdure.server.end(signal.SIGKILL)
    perdure.server.start()
    approve(perdure, flow)
    decided = json.loads(watch.stdout.readline())
    watch.send_signal(signal.SIGINT)

    assert first["open"]["name"] == flow["primitive_refs"]["approvals"][0]
    assert "snapshot_end_time" in end
    assert (decided["change"]["kind"], decided["change"]["approval"]["flow"]) == ("KIND_DECIDED", flow["name"])
    assert "the connection to the server was lost; trying again\n" in watch.stderr.read()
    assert watch.wait() == 130


def test_people_read_a_line_each_and_a_token_goes_on(own: Callable[..., Any]) -> None:
    perdure = own()
    flow = held(perdure)
    name = flow["primitive_refs"]["approvals"][0].removeprefix("approvals/")
    watch = perdure.begin("approvals", "watch", "--flow-id", flow["name"])
    shown = watch.stdout.readline()
    begun = perdure.begin("approvals", "watch", "-o", "json")
    token = json.loads(begun.stdout.readline())["resume_token"]
    approve(perdure, flow)
    decided = watch.stdout.readline()
    later = perdure.begin("approvals", "watch", "-o", "json", "--resume-token", token)

    where = f"{name} hold:1#1 of {flow['name'].removeprefix('flows/')}"
    assert shown[10:].startswith(f"{where} open, expires in ")
    assert shown.endswith(": Go on?\n")
    assert decided[10:] == f"{where} approved by anonymous: Go on?\n"
    assert "snapshot_end_time" in json.loads(later.stdout.readline())
    assert json.loads(later.stdout.readline())["change"]["approval"]["name"] == f"approvals/{name}"


def test_a_token_that_is_none_is_refused_with_the_way_out(perdure: Any) -> None:
    told = perdure("approvals", "watch", "--resume-token", "nonsense", "-o", "json")

    assert told.code == 2
    fault = json.loads(told.err)["fields"][0] if "fields" in json.loads(told.err) else json.loads(told.err)
    assert "begin again without it" in json.dumps(fault)
