"""Keys on the command line: the first is made without a server, and a text is shown once and stands nowhere else."""

import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import PATIENCE, PROGRAMS, Told, surroundings

ECHO = """
playbook_id: echo
version: 1.0.0
title: Echo
objective: Say something
nodes:
  - {id: say, type: deterministic, command: echo, args: [hello], effect: none}
"""


def server_program(home: pathlib.Path, *arguments: str) -> Told:
    """Runs `perdure-server` to its end."""
    command = [str(PROGRAMS / "perdure-server"), *arguments, "--data-dir", str(home / "data")]
    done = subprocess.run(command, env=surroundings(home), capture_output=True, text=True, timeout=PATIENCE)
    return Told(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def root(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An admin's key, made without a server; commands in this process give it."""
    made = server_program(tmp_path, "keys", "create", "root", "--role", "admin")
    assert made.code == 0, made
    monkeypatch.setenv("PERDURE_KEY", made.out.strip())
    return made.out.strip()


@pytest.fixture
def guarded(own: Callable[..., Any], root: str) -> Any:
    """The command line, and a server that asks who calls."""
    return own("--authentication", "required")


def everything_in(folder: pathlib.Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_the_first_key_is_made_without_a_server_and_everything_works_with_it(guarded: Any, root: str) -> None:
    assert guarded("status", "--wait", "30s").code == 0

    version = guarded.publish(ECHO)
    started = guarded.start(version, "-o", "json")
    flow = started.document["name"]
    followed = guarded("flows", "watch", flow)

    assert followed.code == 0
    assert guarded.done("auth", "whoami")["principal"] == "keys/root"
    assert "callers must say who they are; you are keys/root, admin" in guarded("status").out


def test_a_key_s_text_is_shown_once_and_stands_nowhere_else(guarded: Any, root: str, tmp_path: pathlib.Path) -> None:
    made = guarded.done("keys", "create", "ci", "--role", "operator", "--expires-in", "90d")["text"]
    rotated = guarded.done("keys", "rotate", "keys/ci", "--overlap", "0")["text"]
    table = guarded("keys", "create", "eve", "--role", "reviewer").out
    shown = next(line.split()[1] for line in table.splitlines() if line.startswith("text:"))
    texts = [root, made, rotated, shown]
    said = [
        guarded(*command)
        for command in (
            ("keys", "list", "--revoked"),
            ("keys", "list", "-o", "json"),
            ("keys", "get", "ci"),
            ("keys", "create", "ci", "--role", "operator"),
            ("keys", "revoke", "ci"),
            ("keys", "rotate", "ci", "-o", "json"),
            ("auth", "whoami"),
            ("status", "-o", "json"),
        )
    ]
    refused = [
        guarded.apart("auth", "whoami", PERDURE_KEY=key, PERDURE_TRACEBACK="")
        for key in (made, rotated, f"{root[:-1]}z", f"{root}more", f"{root} more", f"{root}\n{root}")
    ]

    assert [told.code for told in refused] == [4, 4, 4, 4, 2, 2]
    printed = "".join(told.out + told.err for told in [*said, *refused])
    guarded.server.end()
    kept = everything_in(tmp_path)
    for secret in (text.rpartition("_")[2] for text in texts):
        assert secret not in printed
        assert secret.encode() not in kept
        assert bytes.fromhex(secret) not in kept


def test_a_key_file_wins_over_the_environment_and_is_for_its_owner(
    guarded: Any, root: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(guarded.done("keys", "create", "eve", "--role", "reviewer")["text"] + "\n")

    assert guarded.done("--key-file", file, "auth", "whoami")["principal"] == "keys/eve"
    file.chmod(0o644)
    open_to_all = guarded("--key-file", file, "auth", "whoami")
    gone = guarded("--key-file", tmp_path / "nothing", "auth", "whoami")
    monkeypatch.delenv("PERDURE_KEY")
    without = guarded("flows", "list", "-o", "json")

    assert (open_to_all.code, gone.code, without.code) == (2, 2, 4)
    assert f"run: chmod 600 {file}" in " ".join(open_to_all.err.replace("│", " ").split())
    error = json.loads(without.err.splitlines()[-1])
    assert (error["reason"], error["metadata"]) == ("UNAUTHENTICATED", {"cause": "missing"})
    assert "PERDURE_KEY" in error["next"]


def test_what_a_role_may_not_do_is_refused_with_the_scope_that_it_needs(
    guarded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_KEY", guarded.done("keys", "create", "eve", "--role", "viewer")["text"])

    refused = guarded("sessions", "create", "s", "-o", "json")

    error = json.loads(refused.err.splitlines()[-1])
    assert (refused.code, error["reason"]) == (4, "SCOPE_MISSING")
    assert error["metadata"] == {"scope": "RUNS_WRITE", "role": "VIEWER"}


def test_while_a_server_runs_on_sqlite_the_offline_command_says_what_to_use(
    guarded: Any, tmp_path: pathlib.Path
) -> None:
    refused = server_program(tmp_path, "keys", "create", "more", "--role", "admin")

    assert refused.code == 2
    assert "is held by another server" in refused.err
    assert "perdure keys create" in refused.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("root", "--role", "admin"), "there is a key 'root' already"),
        (("new", "--role", "king"), "one of admin, author, operator"),
        (("n w", "--role", "admin"), "letters, digits"),
        (("new", "--role", "admin", "--expires-in", "soon"), "is not a duration"),
    ],
)
def test_a_first_key_that_cannot_be_made_is_refused(
    root: str, tmp_path: pathlib.Path, arguments: tuple[str, ...], said: str
) -> None:
    refused = server_program(tmp_path, "keys", "create", *arguments)

    assert refused.code == 2
    assert said in " ".join(refused.err.replace("│", " ").split())


def test_a_server_that_nobody_could_call_is_not_started(tmp_path: pathlib.Path) -> None:
    refused = server_program(tmp_path, "up", "--authentication", "required", "--port", "0")

    assert refused.code == 2
    assert refused.err.endswith("make the first one: perdure-server keys create NAME --role admin\n")
