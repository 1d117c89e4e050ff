"""What a command prints goes into the log without what is secret, on both streams and in whatever pieces."""

import json
from typing import Any

import pytest

from perdure.v1 import instances_pb2, node_events_pb2

STDERR = node_events_pb2.OUTPUT_STREAM_STDERR
TOKEN, MARK = "open-sesame", b"[redacted]"
ENV = {"TOKEN": "secret://env/TOKEN"}


@pytest.fixture
async def trusted(serve: Any, hire: Any, commands: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs commands with an executor that may give them one secret."""
    monkeypatch.setenv("TOKEN", TOKEN)
    service = await serve()
    await hire(service, secret_variables="TOKEN", max_task_output_bytes=4096)
    return commands(service)


async def test_both_streams_are_redacted_and_their_offsets_are_those_of_what_is_kept(trusted: Any) -> None:
    ended = await trusted.run(sh='echo "<$TOKEN>"; printf "$TOKEN" | base64; sleep 0.5; echo "<$TOKEN>" >&2', env=ENV)

    assert ended.printed() == b"<" + MARK + b">\n" + MARK + b"=\n"
    assert ended.printed(STDERR) == b"<" + MARK + b">\n"
    assert (ended.output["stdout"], ended.output["stderr"]) == ("<[redacted]>\n[redacted]=\n", "<[redacted]>\n")
    assert ended.settled.task.output_bytes == len(ended.printed()) + len(ended.printed(STDERR))


async def test_a_secret_that_is_printed_in_pieces_is_redacted(trusted: Any) -> None:
    ended = await trusted.run(sh='printf "a open-"; sleep 0.5; echo sesame b; printf "open-"', env=ENV)

    assert ended.printed() == b"a " + MARK + b" b\nopen-"
    assert [piece.offset for piece in ended.pieces] == [0, 2, 15]


async def test_a_secret_at_the_cut_of_what_is_kept_leaves_no_half_of_it(trusted: Any) -> None:
    ended = await trusted.run(sh='printf "%4090s%s%65530s" "" "$TOKEN" ""', env=ENV)

    assert ended.printed() == b" " * 4090 + MARK[:6]
    assert "sesame" not in ended.output["stdout"]


async def test_a_sensitive_stream_is_not_in_the_log_at_all(trusted: Any) -> None:
    ended = await trusted.run(sh="echo made-by-a-program; echo said >&2", sensitive=["stdout"])

    assert (ended.printed(), ended.printed(STDERR)) == (MARK, b"said\n")
    assert ended.output == {"exit_code": 0, "stdout": "[redacted]", "stderr": "said\n"}


async def test_json_with_a_sensitive_field_is_read_whole_and_kept_without_it(trusted: Any) -> None:
    printed = '{"token": "made-by-a-program", "rows": [{"pin": 4711}], "left": "<open-sesame>"}'

    ended = await trusted.run(sh=f"echo '{printed}'", output="json", sensitive=["token", "rows.*.pin"], env=ENV)

    assert ended.printed() == MARK
    assert ended.output == {"token": "[redacted]", "rows": [{"pin": "[redacted]"}], "left": "<[redacted]>"}


async def test_a_promise_is_about_what_was_given_and_its_failure_does_not_say_it(trusted: Any) -> None:
    schema = {"properties": {"token": {"const": TOKEN}}}
    printed = 'echo "{\\"token\\": \\"$TOKEN\\"}"'

    kept = await trusted.run(sh=printed, output="json", env=ENV, ensures={"schema": schema})
    assert kept.status == "SUCCEEDED"
    assert kept.output == {"token": "[redacted]"}


async def test_a_promise_that_is_broken_keeps_what_was_given_without_what_is_secret(trusted: Any) -> None:
    printed = 'echo "{\\"token\\": \\"$TOKEN\\"}"'
    promise = {"schema": {"properties": {"token": {"maxLength": 3}}}}

    ended = await trusted.run(sh=printed, output="json", env=ENV, ensures=promise)

    assert ended.settled.cause == instances_pb2.FAILURE_CAUSE_ENSURES_NOT_MET
    assert TOKEN not in ended.settled.message
    assert json.dumps(ended.output) == '{"token": "[redacted]"}'
