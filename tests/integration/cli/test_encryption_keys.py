"""Files of keys that encrypt what work is given and leaves: made, rotated and listed without ever showing a key."""

import base64
import json
import pathlib
from typing import Any

import pytest

from perdure.encryption.key_files import read_keys

WORK = """
playbook_id: kept
version: 1.0.0
title: Kept
objective: Keep an input
inputs: [{name: who}]
nodes:
  - {id: look, type: approval, prompt: "Is it {{ inputs.who }}?"}
"""


@pytest.fixture
def keys(perdure: Any, tmp_path: pathlib.Path) -> pathlib.Path:
    """A file with a key."""
    path = tmp_path / "keys.json"
    assert perdure("encryption", "create", path).code == 0
    return path


@pytest.fixture
def profiles(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of profiles that is the test's own."""
    monkeypatch.setenv("PERDURE_PROFILES", str(tmp_path / "profiles.json"))


def test_no_command_shows_a_key_and_each_shows_its_id(perdure: Any, keys: pathlib.Path) -> None:
    told = [
        perdure("encryption", word, keys, "-o", output) for word in ("rotate", "list") for output in ("table", "json")
    ]

    kept = read_keys(keys).keys
    assert [one.code for one in told] == [0] * 4
    assert len(kept) == 3
    assert [one["id"] for one in told[3].document["keys"]] == [one.key_id for one in kept]
    assert [one["encrypts"] for one in told[3].document["keys"]] == [False, False, True]
    shown = "".join(one.out + one.err for one in told)
    assert not [one for one in kept if base64.b64encode(one.key).decode()[:20] in shown or one.key.hex()[:20] in shown]


def test_a_file_that_is_there_is_not_written_over(perdure: Any, keys: pathlib.Path) -> None:
    before = keys.read_bytes()

    told = perdure("encryption", "create", keys)

    assert told.code == 5
    assert "(EXISTS)" in told.err
    assert f"perdure encryption rotate {keys}" in told.err
    assert keys.read_bytes() == before


@pytest.mark.parametrize(
    ("word", "spoil", "said"),
    [
        ("list", lambda path: path.unlink(), "cannot be read: No such file"),
        ("rotate", lambda path: path.chmod(0o644), "chmod 600"),
        ("list", lambda path: path.write_text("{}"), "is no file of payload keys"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    perdure: Any, keys: pathlib.Path, word: str, spoil: Any, said: str
) -> None:
    spoil(keys)

    told = perdure("encryption", word, keys)

    assert told.code == 2
    assert said in " ".join(told.err.split())


def test_without_a_file_a_command_says_how_to_name_one(perdure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERDURE_ENCRYPTION_KEYS", raising=False)

    told = perdure("encryption", "list")

    assert told.code == 2
    assert "PERDURE_ENCRYPTION_KEYS" in told.err


def test_what_there_is_no_key_for_is_refused_and_names_the_key(
    perdure: Any, keys: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = tmp_path / "other.json"
    perdure("encryption", "create", other)
    codec = read_keys(keys).codec("FILE")
    document = json.dumps({"a": codec.sealed("open-sesame"), "b": 1})

    opened = perdure("encryption", "decrypt", "--keys", keys, stdin=document)
    refused = perdure("encryption", "decrypt", "--keys", other, "-o", "json", stdin=document)

    assert opened.document == {"a": "open-sesame", "b": 1}
    assert refused.code == 1
    assert json.loads(refused.err)["reason"] == "CANNOT_DECRYPT"
    assert codec.current in refused.err
    assert "open-sesame" not in refused.out


def test_a_profile_names_the_keys_for_its_server(perdure: Any, keys: pathlib.Path, profiles: None) -> None:
    address = perdure.server.address
    assert perdure("config", "profile", "set", "own", "--server", address, "--encryption-keys", keys).code == 0
    version = perdure.publish(WORK)

    started = perdure.start(
        version, "--idempotency-key", "1", "--input", "who=open-sesame", "--profile", "own", "-o", "json"
    )

    run = json.loads(started.out)["root_run"]
    stored = perdure("runs", "events", run, "-o", "json", "--server", "localhost:" + address.rpartition(":")[2])
    shown = perdure("runs", "events", run, "-o", "json", "--profile", "own")
    given = [base64.b64decode(one["event"]["run_input"]["json"]) for one in stored.lines if "run_input" in one["event"]]
    assert b"encrypted://" in given[0]
    assert base64.b64encode(b'{"who":"open-sesame"}').decode() in shown.out
