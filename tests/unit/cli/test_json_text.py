"""JSON that people give: whatever is wrong with it is said of the option that it came by, and nothing is sent."""

import json
import pathlib
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from perdure.cli.deciding import json_of_text
from perdure.cli.inputs import flow_request
from perdure.cli.json_text import json_object, json_value
from perdure.cli.main import app
from perdure.cli.printing.subjects import subject_lines
from perdure.cli.request_file import METADATA_DEPTH, request_from
from perdure.runlog.json_objects import MAX_LEVELS
from perdure.v1.approvals_pb2 import Approval
from perdure.v1.flows_pb2 import Flow, FlowRequest, ListFlowsResponse

OBJECTS = '{"a":' * 3000 + "1" + "}" * 3000
LISTS = "[" * 3000 + "]" * 3000
START = ("flows", "start", "--playbook-id", "p", "--version", "1", "--digest", "0", "--session-id", "s")
COMMANDS = {
    "run": ("run", "say.yaml", "--input-json", "@deep.json"),
    "run, by an option": ("run", "say.yaml", "--input-json", OBJECTS),
    "run, one input": ("run", "say.yaml", "--input", f"a={LISTS}"),
    "run, a request": ("run", "say.yaml", "--request-file", "deep.json"),
    "start": (*START, "--input-json", "@deep.json"),
    "signal": ("runs", "signal", "r", "go", "--json", OBJECTS),
    "resolve": ("runs", "resolve", "r", "--as", "done", "--output-json", OBJECTS),
    "publish": ("playbooks", "publish", "p", "--version", "1", "--digest", "0", "--evidence-refs-json", LISTS),
}


def perdure(folder: pathlib.Path, *words: str) -> Any:
    """Runs a command in a folder; there is no server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(app, ["--server", "127.0.0.1:1", *words], catch_exceptions=False)


@pytest.mark.parametrize("format", ["table", "json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_nested_too_deep_is_refused_by_its_option_and_the_limit(
    tmp_path: pathlib.Path, command: str, format: str
) -> None:
    (tmp_path / "deep.json").write_text(OBJECTS)

    told = perdure(tmp_path, *COMMANDS[command], "-o", format)

    (option,) = [word for word in COMMANDS[command] if word in told.stderr.splitlines()[-1] and word.startswith("--")]
    assert told.exit_code == 2
    assert f"'{option}': " in told.stderr
    assert "is nested more than 128 levels deep" in told.stderr


@pytest.mark.parametrize("text", [r'{"a": "\ud800"}', r'{"\udfff": 1}', r'["\ud800\ud800"]'])
def test_half_of_a_sign_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="one half of a surrogate pair"):
        json_value(text, "--input-json")


def test_a_sign_that_is_written_as_a_pair_is_read() -> None:
    assert json_value(r'{"a": "\ud83d\ude00"}', "--input-json") == {"a": "\U0001f600"}


def test_settings_that_are_nested_too_deep_are_refused_by_their_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "deep.toml").write_text(f"server = {LISTS}")

    told = perdure(tmp_path, "--config", "deep.toml", "status")

    assert told.exit_code == 2
    assert "'--config': deep.toml cannot be read: it is nested too deep" in told.stderr


def test_witnesses_that_are_nested_too_deep_are_refused_by_their_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "acks").write_text(f"\n{OBJECTS}\n")

    told = perdure(tmp_path, "verify", "--all", "--acks", "acks")

    assert told.exit_code == 2
    assert "'--acks': acks: line 2 is nested too deep" in told.stderr


def test_the_deepest_value_that_is_taken_is_taken_whole() -> None:
    deepest = "[" * MAX_LEVELS + "]" * MAX_LEVELS

    assert json.dumps(json_value(deepest, "--json")) == deepest
    with pytest.raises(typer.BadParameter):
        json_value(f"[{deepest}]", "--json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in one object"),
        ('{"a": ' + "9" * 6000 + "}", "a number in it has 6000 digits, and 4300 are the most; write it as text"),
        ('{"a": NaN}', "there is no NaN in JSON"),
    ],
    ids=["a key twice", "a long number", "no number"],
)
def test_what_readers_of_json_would_not_agree_on_is_refused(text: str, said: str) -> None:
    with pytest.raises(typer.BadParameter) as raised:
        json_object(text, "--json")

    assert raised.value.message == f"it is not JSON: {said}"


def test_an_input_is_given_once() -> None:
    with pytest.raises(typer.BadParameter, match="'a' is given twice"):
        flow_request(None, None, ["a=1", "b=2", "a=2"], None)


def test_an_input_wins_over_the_whole_and_what_is_no_number_in_json_is_text() -> None:
    request = flow_request(None, '{"a": 1, "b": 2}', ["a=NaN"], None)

    assert json.loads(request.input) == {"a": "NaN", "b": 2}


def test_the_deepest_metadata_that_are_taken_arrive_and_come_back() -> None:
    deepest: Any = "here"
    for _ in range(METADATA_DEPTH - 1):
        deepest = {"a": deepest}

    request = FlowRequest.FromString(request_from({"metadata": deepest}).SerializeToString())
    listed = ListFlowsResponse(flows=[Flow(metadata=request.metadata)])

    assert ListFlowsResponse.FromString(listed.SerializeToString()) == listed
    with pytest.raises(typer.BadParameter, match="'metadata' is nested more than 16 levels deep"):
        request_from({"metadata": {"a": deepest}})


def test_what_is_decided_about_is_shown_however_deep_it_is() -> None:
    assert subject_lines(Approval(subject=OBJECTS.encode())) == [OBJECTS]


@pytest.mark.parametrize("text", ['{"n": 1,}', '{"n": 1, "n": 2}', "[1, 2", " {n: 1}", "[draft] it"])
def test_what_begins_as_json_and_is_none_is_no_decision_in_words(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="begins as JSON does and is none"):
        json_of_text(text, "--provide")


@pytest.mark.parametrize(
    ("text", "content"),
    [('{"n": 1}', b'{"n": 1}'), ("as it is", b'"as it is"'), ('"[draft] it"', b'"[draft] it"'), ("[1, 2]", b"[1, 2]")],
)
def test_a_decision_is_json_where_it_reads_as_that_and_text_otherwise(text: str, content: bytes) -> None:
    assert json_of_text(text, "--provide") == content
