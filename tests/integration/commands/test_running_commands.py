"""What a command is given, what it prints, and how it ended."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from perdure.v1 import instances_pb2, node_events_pb2

PROGRAM = pathlib.Path(sys.executable).with_name("perdure-server")

STDOUT, STDERR = node_events_pb2.OUTPUT_STREAM_STDOUT, node_events_pb2.OUTPUT_STREAM_STDERR


async def test_arguments_reach_the_program_as_they_are_and_no_shell_reads_them(workshop: Any) -> None:
    ended = await workshop.run(command="printf", args=["%s|", "$HOME", "a b", "*", "; exit 3"])

    assert ended.status == "SUCCEEDED"
    assert ended.printed() == b"$HOME|a b|*|; exit 3|"


async def test_a_shell_reads_a_command_line_where_its_author_asks_for_one(workshop: Any) -> None:
    ended = await workshop.run(sh="echo $((6 * 7)) | tr 4 x")

    assert ended.printed() == b"x2\n"


async def test_a_command_starts_in_the_workspace_or_below_it_or_where_its_node_says(
    workshop: Any, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "sub").mkdir()

    here = await workshop.run(command="pwd", cwd="sub")

    assert here.printed() == f"{tmp_path}/sub\n".encode()


async def test_a_command_gets_its_own_variables_and_few_of_its_executors(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_EXECUTOR", "x")

    ended = await workshop.run(command="env", env={"OWN": "o", "PERDURE_IDEMPOTENCY_KEY": "forged"})

    variables = dict(line.split("=", 1) for line in ended.printed().decode().splitlines())
    assert variables["OWN"] == "o"
    assert variables["PERDURE_NODE"] == "act"
    assert variables["PERDURE_ATTEMPT"] == "1"
    assert variables["PERDURE_RUN_ID"] == ended.flow.root_run.removeprefix("runs/")
    assert len(variables["PERDURE_IDEMPOTENCY_KEY"]) == 64
    assert "PATH" in variables
    assert "SECRET_OF_THE_EXECUTOR" not in variables


async def test_a_secret_reaches_the_command_and_stands_neither_in_the_log_nor_in_what_the_executor_logs(
    serve: Any, employ: Any, commands: Any
) -> None:
    service = await serve()
    executor = employ(service, "trusted", "--pass-variable", "TOKEN", "--log-level", "debug", TOKEN="open-sesame")

    ended = await commands(service).run(sh="echo ${#TOKEN} ${#DERIVED}", env={"DERIVED": "{{ 'sim' + 'sala' }}"})

    assert ended.printed() == b"11 7\n"
    given = next(event.rendered_arguments.json for event in ended.events if event.HasField("rendered_arguments"))
    assert json.loads(given)["env"] == ["DERIVED"]
    written = executor.logs.read_bytes() + b"".join(event.SerializeToString() for event in ended.events)
    assert b"open-sesame" not in written
    assert b"simsala" not in written


def test_an_executor_that_is_to_pass_on_a_variable_that_is_not_set_does_not_start() -> None:
    started = subprocess.run(
        [PROGRAM, "executor", "--pass-variable", "NO_SUCH_VARIABLE"], capture_output=True, text=True, check=False
    )

    assert started.returncode == 2
    assert "NO_SUCH_VARIABLE is to be passed on to commands, and is not set" in started.stderr


async def test_standard_input_is_what_the_node_says_and_then_its_end(workshop: Any) -> None:
    ended = await workshop.run(command="cat", stdin="first\nsecond")

    assert ended.printed() == b"first\nsecond"


async def test_both_streams_are_kept_apart_with_their_offsets(workshop: Any) -> None:
    ended = await workshop.run(sh="echo out; echo err >&2; sleep 0.5; echo more")

    assert ended.printed(STDOUT) == b"out\nmore\n"
    assert ended.printed(STDERR) == b"err\n"
    assert [piece.offset for piece in ended.pieces if piece.stream == STDOUT] == [0, 4]
    assert ended.output == {"exit_code": 0, "stdout": "out\nmore\n", "stderr": "err\n"}
    assert ended.task.result.output_bytes == 13


async def test_beyond_the_limit_each_stream_ends_with_a_mark_and_the_command_runs_on(workshop: Any) -> None:
    ended = await workshop.run(sh="head -c 5000 /dev/zero; head -c 5000 /dev/zero >&2; head -c 500000 /dev/zero")

    assert ended.status == "SUCCEEDED"
    assert sum(len(piece.content) for piece in ended.pieces) == 4096
    assert sorted(piece.stream for piece in ended.pieces if piece.truncated) == [STDOUT, STDERR]
    assert ended.task.result.output_truncated
    assert ended.task.result.output_bytes == 510_000


async def test_an_exit_code_that_is_not_accepted_fails_the_node_and_what_was_printed_stays_its_output(
    workshop: Any,
) -> None:
    ended = await workshop.run(sh="echo out; echo no such planet >&2; exit 3")

    assert ended.status == "FAILED"
    assert ended.settled.cause == instances_pb2.FAILURE_CAUSE_EXIT_CODE
    assert ended.settled.message == "it ended with exit code 3; its output says more"
    assert ended.printed(STDERR) == b"no such planet\n"
    assert ended.task.result.exit_code == 3
    assert ended.reason == "EXITED"


async def test_an_exit_code_after_which_there_is_nothing_to_read_says_so(workshop: Any) -> None:
    ended = await workshop.run(command="false")

    assert ended.settled.message == "it ended with exit code 1, and printed nothing"


async def test_an_exit_code_that_the_node_accepts_is_success_and_part_of_the_output(workshop: Any) -> None:
    ended = await workshop.run(sh="exit 2", success_exit_codes=[0, 2])

    assert ended.status == "SUCCEEDED"
    assert ended.output["exit_code"] == 2


async def test_a_command_that_a_signal_ends_says_which(workshop: Any) -> None:
    ended = await workshop.run(sh="kill -USR1 $$")

    assert ended.settled.cause == instances_pb2.FAILURE_CAUSE_SIGNALLED
    assert ended.task.result.signal == 10
    assert not ended.task.result.HasField("exit_code")
    assert ended.reason == "SIGNALLED"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"command": "no-such-program"}, "there is no program 'no-such-program'"),
        ({"command": "true", "cwd": "no-such-folder"}, "no-such-folder does not exist"),
        ({"command": "./plain.txt"}, "may not be run, or entered"),
    ],
    ids=["program", "folder", "permission"],
)
async def test_what_cannot_be_started_fails_with_the_reason(
    workshop: Any, tmp_path: pathlib.Path, node: dict[str, Any], message: str
) -> None:
    (tmp_path / "plain.txt").write_text("")

    ended = await workshop.run(**node, on_failure={"max_iterations": 3})

    assert ended.settled.cause == instances_pb2.FAILURE_CAUSE_NOT_STARTED
    assert [event.HasField("node_started") for event in ended.events].count(True) == 1
    assert message in ended.settled.message
    assert ended.reason == "NOT_STARTED"


async def test_an_object_that_is_printed_is_the_output_of_a_node_that_says_so(workshop: Any) -> None:
    ended = await workshop.run(command="printf", args=['{"planets": 3}'], output="json")

    assert ended.output == {"planets": 3}


@pytest.mark.parametrize("printed", ["[3]", "three", ""])
async def test_anything_else_that_is_printed_there_fails_the_node(workshop: Any, printed: str) -> None:
    ended = await workshop.run(command="printf", args=["%s", printed], output="json")

    assert ended.settled.cause == instances_pb2.FAILURE_CAUSE_OUTPUT_INVALID
