"""Where settings come from: a flag, else the environment, else a file."""

import json
import pathlib
from typing import Any

import pytest


@pytest.fixture
def file(perdure: Any) -> Any:
    """The usual file of settings, there for one test."""
    path: pathlib.Path = perdure.server.directory / "config" / "perdure" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def test_a_flag_wins_over_the_environment_and_that_over_the_file(perdure: Any, file: pathlib.Path) -> None:
    file.write_text('output = "yaml"\n')

    by_file = perdure.apart("runtime", "get").out
    by_environment = perdure.apart("runtime", "get", PERDURE_OUTPUT="json").out
    by_flag = perdure.apart("runtime", "get", "-o", "table", PERDURE_OUTPUT="json").out

    assert by_file.startswith("server:\n  version:")
    assert "server" in json.loads(by_environment)
    assert by_flag.startswith("version:")


def test_a_format_may_be_said_before_the_command_and_wins_over_all_but_one_behind_it(
    perdure: Any, file: pathlib.Path
) -> None:
    file.write_text('output = "yaml"\n')

    before = perdure.apart("-o", "json", "runtime", "get", PERDURE_OUTPUT="yaml")
    both = perdure.apart("-o", "json", "runtime", "get", "-o", "table")

    assert "server" in before.document
    assert both.out.startswith("version:")


def test_the_address_of_the_server_may_stand_in_each_place(perdure: Any, file: pathlib.Path) -> None:
    address = perdure.server.address
    file.write_text(f'server = "{address}"\n')

    assert perdure.apart("status", PERDURE_SERVER="").code == 0
    file.write_text('server = "127.0.0.1:1"\n')
    assert perdure.apart("status", PERDURE_SERVER="").code == 6
    assert perdure.apart("status").code == 0
    assert perdure.apart("--server", address, "status", PERDURE_SERVER="127.0.0.1:1").code == 0
    assert perdure.apart("status", "--server", address, PERDURE_SERVER="127.0.0.1:1").code == 0


def test_another_file_can_be_named(perdure: Any, file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    file.write_text('output = "yaml"\n')
    other = tmp_path / "other.toml"
    other.write_text('output = "json"\n')

    assert "server" in json.loads(perdure.apart("--config", other, "runtime", "get").out)
    assert "server" in json.loads(perdure.apart("runtime", "get", PERDURE_CONFIG=str(other)).out)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("servre = 'x'", "'servre' is not a setting; there are server, output"),
        ("server = 7400", "'server' is not text"),
        ("output = 'xml'", "'output' is one of table, json, yaml"),
        ("server", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_key(perdure: Any, file: pathlib.Path, content: str, wrong: str) -> None:
    file.write_text(content)

    told = perdure.apart("status")

    assert (told.code, told.out) == (2, "")
    assert str(file) in told.err.replace("\n", "")
    assert wrong in told.err


def test_a_file_that_was_named_and_is_not_there_is_an_error(perdure: Any, tmp_path: pathlib.Path) -> None:
    told = perdure.apart("--config", tmp_path / "nowhere.toml", "status")

    assert told.code == 2
    assert "nowhere.toml cannot be read" in told.err
