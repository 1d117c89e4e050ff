"""Every reason a call can fail with: what people are told, what they do next, and the exit code scripts branch on."""

import json
import sys
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from typer.testing import CliRunner

from perdure.cli import main
from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import TRACEBACK, Refused, report_failure, report_refusal
from perdure.cli.hints import HINTS, hint
from perdure.cli.main import app
from perdure.cli.printing.formats import Format
from perdure.client import CallFailed
from perdure.v1.errors_pb2 import ErrorReason

PREFIX = "ERROR_REASON_"
REASONS = [
    name.removeprefix(PREFIX) for name in ErrorReason.DESCRIPTOR.values_by_name if name != f"{PREFIX}UNSPECIFIED"
]


def failure(
    reason: str, code: Any = grpc.StatusCode.FAILED_PRECONDITION, faults: Any = (), **metadata: str
) -> CallFailed:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain="perdure", metadata=metadata)]
    if faults:
        violations = [error_details_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in faults]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    packed = [AnyMessage() for _ in details]
    for one, detail in zip(packed, details, strict=True):
        one.Pack(detail)
    return CallFailed(code, "; ".join(f"{f}: {d}" for f, d in faults) or "it did not work", packed)


@pytest.mark.parametrize("reason", REASONS)
def test_every_published_reason_has_a_next_step(reason: str) -> None:
    told = hint(failure(reason, resource="runs/r", run="runs/r", approval="approvals/a"))

    assert told
    assert "{" not in told


def test_there_is_no_next_step_for_a_reason_that_is_not_published() -> None:
    assert set(HINTS) <= set(REASONS)


@pytest.mark.parametrize(
    ("code", "reason", "exit_code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", ExitCode.USAGE),
        (grpc.StatusCode.INVALID_ARGUMENT, "PLAYBOOK_INVALID", ExitCode.FAILURE),
        (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", ExitCode.NOT_FOUND),
        (grpc.StatusCode.PERMISSION_DENIED, "TOKEN_MISMATCH", ExitCode.DENIED),
        (grpc.StatusCode.ALREADY_EXISTS, "VERSION_EXISTS", ExitCode.CONFLICT),
        (grpc.StatusCode.FAILED_PRECONDITION, "RUN_STATE", ExitCode.CONFLICT),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE", ExitCode.USAGE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", ExitCode.UNAVAILABLE),
        (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", ExitCode.UNAVAILABLE),
        (grpc.StatusCode.DATA_LOSS, "DATA_CORRUPT", ExitCode.FAILURE),
    ],
)
def test_the_exit_code_says_what_kind_it_is(code: Any, reason: str, exit_code: ExitCode) -> None:
    assert report_failure(failure(reason, code), "here:1") == exit_code


def test_every_field_at_fault_is_printed_with_the_options_that_give_them(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [("request.input.times", "'many' is not of type 'integer'"), ("priority", "is over 100")]

    report_failure(failure("FIELD_INVALID", grpc.StatusCode.INVALID_ARGUMENT, faults), "here:1")

    assert capsys.readouterr().err.splitlines() == [
        "Error: 2 fields are not acceptable (FIELD_INVALID)",
        "  request.input.times: 'many' is not of type 'integer'",
        "  priority: is over 100",
        (
            "Next:  correct --input or --input-json, --priority; what the playbook takes is in its manifest, under inputs; "
            """what reads as JSON is JSON, and text is quoted twice: --input 'code="42"'"""
        ),
    ]


def test_a_field_leads_to_its_option() -> None:
    told = failure("FIELD_INVALID", faults=[("priority", "is over 100"), ("queue", "is empty")])

    assert hint(told) == "correct --priority, --queue"


def test_an_item_of_a_list_leads_to_the_option_that_gives_the_list() -> None:
    assert hint(failure("FIELD_INVALID", faults=[("evidence[0].id", "is required")])) == "correct --evidence-refs-json"


def test_what_is_refused_here_has_a_reason_too(capsys: pytest.CaptureFixture[str]) -> None:
    report_refusal(Refused(ExitCode.CONFLICT, "APPROVAL_DECIDED", "it is decided", "look"))

    assert capsys.readouterr().err == "Error: it is decided (APPROVAL_DECIDED)\nNext:  look\n"


def test_programs_are_told_all_of_it_in_one_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [("priority", "is over 100"), ("queue", "is empty")]

    code = report_failure(failure("FIELD_INVALID", faults=faults, limit="100"), "here:1", Format.JSON)

    (line,) = capsys.readouterr().err.splitlines()
    assert (code, json.loads(line)) == (
        ExitCode.CONFLICT,
        {
            "reason": "FIELD_INVALID",
            "message": "2 fields are not acceptable",
            "fields": [
                {"field": "priority", "description": "is over 100"},
                {"field": "queue", "description": "is empty"},
            ],
            "metadata": {"limit": "100"},
            "next": "correct --priority, --queue",
        },
    )


def test_programs_are_told_that_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(CallFailed(grpc.StatusCode.UNAVAILABLE, "connection refused"), "here:1", Format.JSON)

    told = json.loads(capsys.readouterr().err)
    assert (told["reason"], told["message"]) == ("UNAVAILABLE", "nothing answers at here:1")


@pytest.mark.parametrize(
    ("field", "option"), [("request_id", "--request-id"), ("idempotency_key", "--idempotency-key"), ("", "id")]
)
def test_an_id_that_was_used_leads_to_the_option_that_gives_it(field: str, option: str) -> None:
    told = failure("REQUEST_ID_REUSED", faults=[(field, "it was used")] if field else [], request_id="r")

    assert hint(told) == f"choose a new {option} for a new request, or repeat the first request unchanged"


def test_what_is_too_large_leads_to_the_option_that_gives_it() -> None:
    told = hint(failure("PAYLOAD_TOO_LARGE", faults=[("document.text", "has 1200094 bytes")]))

    assert told == "make what --manifest-file gives smaller; the limits: perdure runtime get"


def test_text_from_the_server_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(CallFailed(grpc.StatusCode.UNKNOWN, "bad \x1b[2J"), "here:1")

    assert "\x1b[2J" not in capsys.readouterr().err


def test_a_fault_of_the_program_itself_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.cli.connection.Client", lambda *_, **__: 1 // 0)

    people = CliRunner().invoke(app, ["runs", "get", "r"])
    programs = CliRunner().invoke(app, ["runs", "get", "r", "-o", "json"])
    makers = CliRunner().invoke(app, ["runs", "get", "r"], env={TRACEBACK: "1"})

    assert (people.exit_code, people.stdout, programs.exit_code) == (1, "", 1)
    assert people.stderr == (
        "Error: perdure itself has failed: ZeroDivisionError: integer division or modulo by zero (UNEXPECTED)\n"
        "Next:  report it, with what it prints under PERDURE_TRACEBACK=1\n"
    )
    assert json.loads(programs.stderr)["reason"] == "UNEXPECTED"
    assert isinstance(makers.exception, ZeroDivisionError)


def test_a_fault_outside_of_a_command_is_told_in_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["perdure", "status"])
    monkeypatch.setattr(main, "app", lambda **_: 1 // 0)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, name), "reconfigure", lambda **_: None, raising=False)

    with pytest.raises(SystemExit) as ended:
        main.run()

    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("Error: perdure itself has failed: ZeroDivisionError: ")
