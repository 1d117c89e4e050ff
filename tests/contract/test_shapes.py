"""Calls and messages have the shapes that callers count on: scopes, repetition, pages, orders, names."""

import pathlib
import re
from typing import Any

import pytest

from perdure.audit.events import AuditType
from perdure.v1 import errors_pb2, run_states_pb2, scopes_pb2

ROOT = pathlib.Path(__file__).parents[2]
EVENT_FILES = ("run_events", "instances", "node_events", "fact_events", "run_states")
ORDER = re.compile(r"\b(latest|newest|oldest) first\b|\bby [a-z]+\b|\bin (the )?order\b|\bones first\b")
CHANGING = [number for name, number in scopes_pb2.Scope.items() if name.endswith(("_WRITE", "_DECIDE", "_COMMENT"))]
"""Scopes of calls that may change something; what executors append, under another, is what logs are made of."""

IMPLIED = {
    "name": "NOT_FOUND",
    "parent": "NOT_FOUND",
    "page_token": "PAGE_TOKEN_INVALID",
    "request_id": "REQUEST_ID_REUSED",
    "idempotency_key": "REQUEST_ID_REUSED",
}
"""Reasons for which a call with such a field may be refused."""

AUDIT_TYPES = {kind.value for kind in AuditType}
TIMESTAMP = ".google.protobuf.Timestamp"
REASONS = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.DESCRIPTOR.values_by_name}
STATES = {name.removeprefix("RUN_STATE_") for name in run_states_pb2.RunState.DESCRIPTOR.values_by_name}


def fields(message: Any) -> dict[str, Any]:
    return {field.name: field for field in message.field}


def without_scope(contract: Any) -> list[str]:
    return [
        str(rpc)
        for rpc in contract.of("rpc")
        if rpc.proto.options.Extensions[scopes_pb2.scope] == scopes_pb2.SCOPE_UNSPECIFIED
    ]


def without_audit(contract: Any) -> list[str]:
    """Calls that may change something and leave no audit event of a type there is, and calls that only read and say so."""
    found = []
    for rpc in contract.of("rpc"):
        types = list(rpc.proto.options.Extensions[scopes_pb2.audited_as])
        changes = rpc.proto.options.Extensions[scopes_pb2.scope] in CHANGING
        if bool(types) is not changes or not set(types) <= AUDIT_TYPES:
            found.append(str(rpc))
    return found


def silent_about_repetition(contract: Any) -> list[str]:
    """Calls that do not say what a repetition does, and streams that do not say how to go on after a break."""
    found = []
    for rpc in contract.of("rpc"):
        streams = rpc.proto.server_streaming or rpc.proto.client_streaming
        wanted = r"\breconnect\b|\bbegin again after\b" if streams else r"\bidempoten(t|cy)\b"
        if not re.search(wanted, rpc.comment, re.IGNORECASE):
            found.append(str(rpc))
    return found


def badly_paged(contract: Any) -> list[str]:
    found = []
    for rpc in contract.of("rpc"):
        if not rpc.name.startswith("List"):
            continue
        request, response = contract.message(rpc.proto.input_type), contract.message(rpc.proto.output_type)
        if not {"page_size", "page_token"} <= set(fields(request)):
            found.append(f"{rpc}: the request has no page_size and page_token")
        if "next_page_token" not in fields(response):
            found.append(f"{rpc}: the response has no next_page_token")
        if sum(field.label == field.LABEL_REPEATED for field in response.field) != 1:
            found.append(f"{rpc}: the response has not one list")
        if not ORDER.search(rpc.comment):
            found.append(f"{rpc}: the comment states no order")
    return found


def unknown_reasons(contract: Any) -> list[str]:
    """Words in capitals after `Errors:` that callers would look for in ErrorReason in vain."""
    found = []
    for rpc in contract.of("rpc"):
        _, _, errors = rpc.comment.partition("Errors:")
        named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)*\b", errors)) - STATES
        found += [f"{rpc}: {name}" for name in sorted(named - REASONS)]
    return found


def own_and_repeated_fields(contract: Any, name: str) -> list[str]:
    """Fields of a request, and of the requests that it may hold."""
    message = contract.message(name)
    inner = [contract.message(field.type_name) for field in message.field if field.type_name.endswith("Request")]
    return [*fields(message), *(field for one in inner for field in fields(one))]


def without_request_id(contract: Any) -> list[str]:
    """Calls that create or decide, and take no id by which a repetition is known."""
    return [
        str(rpc)
        for rpc in contract.of("rpc")
        if rpc.proto.options.Extensions[scopes_pb2.scope] in CHANGING
        and not {"request_id", "idempotency_key"} & set(own_and_repeated_fields(contract, rpc.proto.input_type))
    ]


def silent_about_errors(contract: Any) -> list[str]:
    """Calls whose request can be wrong in a way that their comment does not name."""
    found = []
    for rpc in contract.of("rpc"):
        asked = set(fields(contract.message(rpc.proto.input_type)))
        wanted = {reason for field, reason in IMPLIED.items() if field in asked}
        found += [f"{rpc}: {reason}" for reason in sorted(wanted) if reason not in rpc.comment]
    return found


def badly_named(contract: Any) -> list[str]:
    found = [
        f"{enum}: the zero value is {enum.proto.value[0].name}"
        for enum in contract.of("enum")
        if enum.proto.value[0].number or not enum.proto.value[0].name.endswith("_UNSPECIFIED")
    ]
    times = [field for field in contract.of("field") if field.proto.type_name == TIMESTAMP]
    return found + [
        f"{field}: a time whose name does not end so" for field in times if not field.name.endswith("_time")
    ]


def maps_in_events(contract: Any) -> list[str]:
    return [
        str(message)
        for message in contract.of("message")
        if message.proto.options.map_entry and message.file.rpartition("/")[2].removesuffix(".proto") in EVENT_FILES
    ]


def test_every_call_declares_the_scope_that_it_needs(contract: Any) -> None:
    assert without_scope(contract) == []


def test_every_call_that_changes_something_leaves_an_audit_event(contract: Any) -> None:
    assert without_audit(contract) == []


def test_every_call_says_what_a_repetition_does_and_every_stream_how_to_go_on(contract: Any) -> None:
    assert silent_about_repetition(contract) == []


def test_everything_that_creates_or_decides_takes_an_id_of_the_request(contract: Any) -> None:
    assert without_request_id(contract) == []


def test_every_call_names_the_errors_that_its_request_implies(contract: Any) -> None:
    assert silent_about_errors(contract) == []


def test_every_list_comes_in_pages_and_in_an_order_that_is_stated(contract: Any) -> None:
    assert badly_paged(contract) == []


def test_every_error_that_a_call_names_is_a_reason(contract: Any) -> None:
    assert unknown_reasons(contract) == []


def test_zero_means_unspecified_and_times_are_named_so(contract: Any) -> None:
    assert badly_named(contract) == []


def test_no_stored_event_has_a_map_so_that_equal_events_have_equal_bytes(contract: Any) -> None:
    assert maps_in_events(contract) == []
    assert {f"perdure/v1/{name}.proto" for name in EVENT_FILES} <= set(contract.files)


def test_a_call_without_scope_or_word_on_repetition_is_found(written: Any) -> None:
    contract = written(
        greetings="""
        service Greeter {
          // Greets. Reconnect as you like.
          rpc Greet(M) returns (M);
          // Greets on and on. Idempotent.
          rpc Sing(M) returns (stream M);
        }
        message M {}
        """
    )

    greet, sing = "Greeter.Greet", "Greeter.Sing"

    assert [found.rpartition("v1.")[2] for found in without_scope(contract)] == [greet, sing]
    assert [found.rpartition("v1.")[2] for found in silent_about_repetition(contract)] == [greet, sing]


def test_a_change_without_request_id_or_word_on_errors_is_found(written: Any) -> None:
    contract = written(
        scopes=(ROOT / "protos/perdure/v1/scopes.proto").read_text().partition("package perdure.v1;")[2],
        greetings="""
        import "perdure/v1/scopes.proto";
        service Greeter {
          // Greets. Idempotent.
          rpc Greet(M) returns (M) { option (scope) = SCOPE_RUNS_WRITE; }
        }
        message M { string name = 1; string page_token = 2; }
        """,
    )

    assert [found.rpartition("v1.")[2] for found in without_request_id(contract)] == ["Greeter.Greet"]
    assert [found.rpartition(": ")[2] for found in silent_about_errors(contract)] == ["NOT_FOUND", "PAGE_TOKEN_INVALID"]


def test_a_change_that_leaves_no_audit_event_is_found(written: Any) -> None:
    contract = written(
        scopes=(ROOT / "protos/perdure/v1/scopes.proto").read_text().partition("package perdure.v1;")[2],
        greetings="""
        import "perdure/v1/scopes.proto";
        service Greeter {
          rpc Greet(M) returns (M) { option (scope) = SCOPE_RUNS_WRITE; option (audited_as) = "run.paused"; }
          rpc Forget(M) returns (M) { option (scope) = SCOPE_RUNS_WRITE; }
          rpc Invent(M) returns (M) { option (scope) = SCOPE_RUNS_WRITE; option (audited_as) = "run.invented"; }
          rpc Read(M) returns (M) { option (scope) = SCOPE_RUNS_READ; option (audited_as) = "run.paused"; }
        }
        message M {}
        """,
    )

    assert [found.rpartition(".")[2] for found in without_audit(contract)] == ["Forget", "Invent", "Read"]


def test_a_list_without_pages_or_order_is_found(written: Any) -> None:
    contract = written(
        greetings="""
        service Greeter {
          // Lists greetings. Idempotent. Errors: NOT_FOUND, BAD_WEATHER, RUN_STATE (COMPLETED).
          rpc ListGreetings(M) returns (M);
        }
        message M { repeated string greetings = 1; repeated string others = 2; }
        """
    )

    faults = [found.rpartition(": the ")[2] for found in badly_paged(contract)]

    assert faults == [
        "request has no page_size and page_token",
        "response has no next_page_token",
        "response has not one list",
        "comment states no order",
    ]
    assert [found.rpartition(": ")[2] for found in unknown_reasons(contract)] == ["BAD_WEATHER"]


@pytest.mark.parametrize(
    "text",
    [
        "enum Mood { MOOD_GLAD = 0; }",
        'import "google/protobuf/timestamp.proto";\nmessage M { google.protobuf.Timestamp created = 1; }',
    ],
)
def test_a_name_against_the_rules_is_found(written: Any, text: str) -> None:
    assert len(badly_named(written(mood=text))) == 1


def test_a_map_in_an_event_is_found_and_one_elsewhere_is_not(written: Any) -> None:
    contract = written(
        run_events="message A { map<string, string> labels = 1; }",
        flows="message B { map<string, string> labels = 1; }",
    )

    assert maps_in_events(contract) == ["perdure/v1/run_events.proto: perdure.v1.A.LabelsEntry"]
