"""Values in the words that people read, and words of theirs as values."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.cli import names
from perdure.cli.durations import parse_duration, short_duration
from perdure.cli.inputs import flow_request
from perdure.cli.printing.words import age, bytes_text, enum_word, one_line, printable
from perdure.v1.flows_pb2 import Flow
from perdure.v1.run_states_pb2 import DESCRIPTOR as STATES


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("250ms", 0.25), ("1.5", 1.5), ("90", 90)],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_duration(text, "--timeout") == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "5 m", "-3s", "0", "1h30", "s", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration(text, "--timeout")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.35, "0.35s"), (42, "42s"), (60, "1m"), (200, "3m20s"), (3600, "1h"), (18120, "5h02m"),
     (86400, "1d"), (90000, "1d1h"), (-1, "0s"), (59.9, "1m")],
)  # fmt: skip
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert short_duration(timedelta(seconds=seconds)) == text


def test_a_moment_is_said_by_its_distance() -> None:
    now, moment = datetime(2030, 1, 1, tzinfo=UTC), Timestamp()
    assert age(moment, now) == ""
    moment.FromDatetime(now - timedelta(seconds=200))
    assert age(moment, now) == "3m20s"
    moment.FromDatetime(now + timedelta(seconds=200))
    assert age(moment, now) == "in 3m20s"


def test_text_from_elsewhere_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\u202ec\nd") == "a\\x1b[31mb\\u202ec\nd"
    assert one_line("a\n  b\x07", 0) == "a b\\x07"
    assert one_line("abcdef", 4) == "abc…"


def test_bytes_are_json_or_text_or_hexadecimal() -> None:
    assert bytes_text("json", b'{"a":1}') == '{\n  "a": 1\n}'
    assert bytes_text("content", b"hello\n") == "hello"
    assert bytes_text("content", b"\xff") == "ff"
    assert bytes_text("plan_digest", b"ab") == "6162"


def test_a_value_of_an_enum_is_a_word_and_an_unknown_one_its_number() -> None:
    assert enum_word(Flow.Status.DESCRIPTOR, Flow.STATUS_SUCCEEDED) == "succeeded"
    assert enum_word(STATES.enum_types_by_name["RunState"], 999) == "999"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: names.run("r-1"), "runs/r-1"),
        (lambda: names.run("runs/r-1"), "runs/r-1"),
        (lambda: names.agent("a"), "agents/a"),
        (lambda: names.version("p", "1.0.0"), "playbooks/p/versions/1.0.0"),
        (lambda: names.version("playbooks/p/versions/2", None), "playbooks/p/versions/2"),
        (lambda: names.task("s", "t"), "sessions/s/tasks/t"),
        (lambda: names.task("sessions/s/tasks/t", None), "sessions/s/tasks/t"),
    ],
)
def test_a_thing_is_named_by_its_id_or_in_full(call: Any, name: str) -> None:
    assert call() == name


@pytest.mark.parametrize(
    "call",
    [
        lambda: names.run("flows/x"),
        lambda: names.run(""),
        lambda: names.run("a b"),
        lambda: names.run("x" * 129),
        lambda: names.version("p", None),
        lambda: names.version("playbooks/p/versions/1", "2"),
        lambda: names.task("s", None),
    ],
)
def test_what_is_no_name_is_refused(call: Any) -> None:
    with pytest.raises(typer.BadParameter):
        call()


@pytest.mark.parametrize(
    ("given", "value"),
    [("n=3", b'{"n": 3}'), ("n=1.10", b'{"n": "1.10"}'), ("n=007", b'{"n": "007"}'), ("n=true", b'{"n": true}'),
     ("n=[1, 2]", b'{"n": [1, 2]}'), ("n=a=b", b'{"n": "a=b"}'), ("n=", b'{"n": ""}'), ('n="3"', b'{"n": "3"}')],
)  # fmt: skip
def test_an_input_is_json_where_that_keeps_every_sign_and_text_otherwise(given: str, value: bytes) -> None:
    assert flow_request(None, None, [given], None).input == value
