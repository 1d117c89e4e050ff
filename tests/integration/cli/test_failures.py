"""What people are told when something does not work: the reason, the field, and the next thing to do."""

import asyncio
import functools
import json
import pathlib
import socket
from datetime import timedelta
from typing import Any

import pytest

from perdure.cli import flows
from perdure.cli.first_answer import first_answer
from perdure.cli.following import follow

MISSING = {
    ("flows", "get", "nobody"): "perdure flows list",
    ("runs", "get", "nobody"): "perdure runs list",
    ("runs", "events", "nobody"): "perdure runs list",
    ("runs", "watch", "nobody"): "perdure runs list",
    ("runs", "recovery", "nobody"): "perdure runs list",
    ("sessions", "get", "nobody"): "perdure sessions list; or make it: perdure sessions create nobody",
    ("agents", "get", "nobody"): "perdure agents list",
    ("approvals", "show", "nobody"): "perdure approvals list --state all",
    ("approvals", "approve", "nobody", "--yes"): "perdure approvals list --state all",
    ("playbooks", "get", "nobody"): "perdure playbooks list",
    ("tasks", "output", "nowhere", "nobody"): "perdure tasks list nowhere",
    ("schedules", "trigger", "nobody"): "perdure schedules list",
}


@pytest.mark.parametrize("command", MISSING, ids=" ".join)
def test_what_is_not_there_is_named_and_the_list_of_what_is_there_too(perdure: Any, command: tuple[str, ...]) -> None:
    told = perdure(*command)

    assert (told.code, told.out) == (3, "")
    assert told.err.startswith("Error: there is no ")
    assert "(NOT_FOUND)" in told.err
    assert told.err.endswith(f"Next:  {MISSING[command]}\n")


def test_a_program_that_asks_for_json_is_told_of_an_error_in_json(perdure: Any) -> None:
    told = perdure("runs", "get", "nobody", "-o", "json")

    assert (told.code, told.out) == (3, "")
    assert json.loads(told.err) == {
        "reason": "NOT_FOUND",
        "message": "there is no runs/nobody",
        "fields": [],
        "metadata": {"resource": "runs/nobody"},
        "next": "perdure runs list",
    }


@pytest.fixture
def nobody() -> str:
    """An address at which no server is."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize(
    ("command", "waited"),
    [
        (("status",), ""),
        (("status", "--wait", "10ms"), "the server is not well yet; waiting for it\n"),
        (("flows", "watch", "x"), "no server answers yet; trying again for 1 s\n"),
        (("runs", "watch", "x"), "no server answers yet; trying again for 1 s\n"),
    ],
    ids=["asks", "waits", "follows a flow", "follows a run"],
)
def test_without_a_server_it_says_how_to_start_one(
    perdure: Any, monkeypatch: pytest.MonkeyPatch, nobody: str, command: tuple[str, ...], waited: str
) -> None:
    short = functools.partial(first_answer, patience=timedelta(seconds=0.5))
    for module in (flows, follow):
        monkeypatch.setattr(module, "first_answer", short)

    told = perdure(*command, "--server", nobody)

    assert told.err.startswith(waited + "Error: ")
    assert (told.code, told.out) == (6, "")
    assert f"Error: nothing answers at {nobody} (UNAVAILABLE)" in told.err
    assert "Next:  start a server (perdure-server up), or name another with --server or PERDURE_SERVER" in told.err


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        (["status", "--server", "http://localhost"], "'--server': 'http://localhost' is no address; say HOST:PORT"),
        (["runs", "get", "a b"], "'a b' is no id of a run"),
        (["runs", "get", "flows/x"], "'flows/x' does not name a run"),
        (["runs", "watch", "x", "--wait-timeout", "soon"], "'--wait-timeout': 'soon' is not a duration"),
        (
            ["run", "x.yaml", "--timeout", "99999999999999999999d"],
            "'--timeout': a duration is ten thousand years at most",
        ),
        (["sessions", "create", ""], "'' is no id of a session"),
        (["runs", "list", "--flow-id", ""], "'' is no id of a flow"),
        (["-o", "xml", "runs", "list"], "'-o': 'xml' is not one of table, json, yaml"),
        (["run", "x.yaml", "--wait-timeout", "0s"], "'--wait-timeout': a duration is more than nothing"),
        (["runs", "list", "--state", "asleep"], "'--state': 'asleep' is not one of 'queued', 'running'"),
        (["runs", "watch", "x", "--until", "now"], "'--until': 'now' is not one of 'held', 'settled'"),
        (["runs", "get", "x", "-o", "xml"], "'xml' is not one of 'table', 'json', 'yaml'"),
        (["runs", "resolve", "x", "--as", "lost"], "'--as': 'lost' is not one of 'done', 'retry', 'failed'"),
        (["--config", "nowhere", "status"], "'--config': nowhere cannot be read: No such file or directory\n"),
        (["verify", "--all", "--acks", "nowhere"], "'--acks': nowhere cannot be read: No such file or directory\n"),
        (["playbooks", "validate", "--manifest-file", "-"], "'--manifest-file': standard input is empty"),
        (["run", "-"], "'FILE': standard input is empty"),
        (["playbooks", "publish", "x", "--version", "1", "--digest", "0"], "Missing option '--evidence-refs-json'"),
        (
            ["playbooks", "validate", "--manifest-file", "nowhere"],
            "'--manifest-file': nowhere cannot be read: No such file",
        ),
        (["run", "nowhere"], "'FILE': nowhere cannot be read: No such file"),
        (["run", "x.yaml", "--request-file", "nowhere"], "'--request-file': nowhere cannot be read: No such file"),
        (["run", "x.yaml", "--request-file", "-"], "'--request-file': standard input is not JSON"),
        (["run", "x.yaml", "--input-json", "@nowhere"], "'--input-json': nowhere cannot be read: No such file"),
        (["run", "x.yaml", "--input-json", "[]"], "'--input-json': it is not a JSON object"),
        (["runs", "resolve", "x", "--as", "done", "--output-json", "{"], "'--output-json': it is not JSON"),
        (["runs", "resolve", "x"], "Missing option '--as'"),
        (["tasks", "get", "ops"], "say which task"),
        (["flow", "list"], "Did you mean 'flows'"),
    ],
)
def test_what_is_typed_wrong_is_named_before_anything_is_asked(perdure: Any, command: list[str], wrong: str) -> None:
    told = perdure(*command)

    assert (told.code, told.out) == (2, "")
    assert wrong in told.err
    assert "Value error" not in told.err
    assert "--help" in told.err


@pytest.mark.parametrize(
    "evidence", ["review", '{"kind": "review"}', '["review"]', '[{"kind": "review", "who": "Ada"}]', '[{"id": 3}]']
)
def test_evidence_of_another_shape_is_told_in_plain_words(perdure: Any, evidence: str) -> None:
    told = perdure("playbooks", "publish", "x", "--version", "1", "--digest", "0", "--evidence-refs-json", evidence)

    assert told.code == 2
    assert "'--evidence-refs-json'" in told.err
    assert 'a JSON list of {"kind": ..., "id": ..., "description": ...}' in told.err
    assert "pb2" not in told.err


@pytest.mark.parametrize("command", [("runtime", "get"), ("runtime", "get", "-o", "json")])
def test_a_reader_that_goes_away_ends_a_command_quietly_and_with_a_code_of_its_own(
    perdure: Any, command: tuple[str, ...]
) -> None:
    process = perdure.begin(*command)
    process.stdout.close()

    _, err = process.communicate(timeout=50)

    assert (process.returncode, err) == (141, "")


def test_a_reader_of_everything_that_goes_away_is_no_fault_either(perdure: Any) -> None:
    process = perdure.begin("runs", "get", "nobody")
    process.stdout.close()
    process.stderr.close()

    assert process.wait(timeout=50) == 141


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs a file that is always full")
@pytest.mark.parametrize("command", [("runtime", "get"), ("--help",), ("--version",), ("runs", "--help")], ids=" ".join)
def test_an_output_that_cannot_be_written_is_told_in_a_sentence(perdure: Any, command: tuple[str, ...]) -> None:
    told = perdure.into("/dev/full", *command)

    assert told.code == 1
    assert told.err == (
        "Error: what was found cannot be written to standard output: No space left on device (NOT_WRITABLE)\n"
        "Next:  make room there, or write it elsewhere, and repeat\n"
    )


async def _not_found(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every call as a server of something else would, which has nothing of that name."""
    await reader.read(24)  # what an HTTP/2 client begins with
    ok, end = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", 0x05
    writer.write(ok)
    while len(head := await reader.read(9)) == 9:
        size, kind, stream = int.from_bytes(head[:3], "big"), head[3], head[5:9]
        if size:
            await reader.readexactly(size)
        if kind == 1:  # headers: the answer is `:status: 404`, from the table that HTTP/2 has
            writer.write(b"\x00\x00\x01\x01" + bytes([end]) + stream + b"\x8d")
    writer.close()


def test_what_is_no_perdure_server_is_told(perdure: Any) -> None:
    async def ask() -> Any:
        async with await asyncio.start_server(_not_found, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return address, await asyncio.to_thread(perdure.apart, "status", "--server", address)

    address, told = asyncio.run(ask())

    assert told.code == 1
    assert f"Error: what answers at {address} is no Perdure server (UNIMPLEMENTED)" in told.err
    assert "Next:  name a Perdure server with --server or PERDURE_SERVER" in told.err


def test_without_an_output_a_command_does_its_work(perdure: Any) -> None:
    told = perdure.into(None, "sessions", "create", "silent")

    assert (told.code, told.err) == (0, "")
    assert perdure("sessions", "get", "silent").code == 0
