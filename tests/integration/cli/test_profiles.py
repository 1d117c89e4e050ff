"""Profiles: what is kept of servers and keys, for its owner alone, and when it is asked."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from .test_keys import server_program


@pytest.fixture
def root(tmp_path: pathlib.Path) -> str:
    """An admin's key, made without a server."""
    return server_program(tmp_path, "keys", "create", "root", "--role", "admin").out.strip()


@pytest.fixture
def file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The file of profiles of one test; nothing else is said of servers and keys."""
    path = tmp_path / "own" / "profiles.json"
    monkeypatch.setenv("PERDURE_PROFILES", str(path))
    monkeypatch.delenv("PERDURE_KEY", raising=False)
    return path


@pytest.fixture
def guarded(own: Callable[..., Any], root: str, file: pathlib.Path) -> Any:
    """The command line, and a server that asks who calls."""
    return own("--authentication", "required")


def test_a_key_that_the_server_knows_is_kept_for_its_owner_and_given_to_that_server(
    guarded: Any, root: str, file: pathlib.Path
) -> None:
    login = guarded("auth", "login", "--profile", "site", stdin=root + "\n")
    who = guarded.done("auth", "whoami")
    shown = [guarded(*command) for command in (
        ("config", "profile", "list"), ("config", "profile", "list", "-o", "json"), ("config", "profile", "show"),
        ("config", "profile", "show", "site", "-o", "yaml"), ("--profile", "site", "auth", "whoami"),
    )]  # fmt: skip

    assert (login.code, who["principal"]) == (0, "keys/root")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [told.code for told in shown] == [0] * 5
    document = {"name": "site", "server": guarded.server.address, "key": "kept", "used": True}
    document |= {"tls_ca": "", "tls_certificate": "", "tls_key": "", "encryption_keys": ""}
    assert json.loads(shown[1].out) == document
    secret = root.rpartition("_")[2]
    assert secret in file.read_text()
    assert not [told for told in (login, *shown) if secret in told.out + told.err]


def test_a_key_that_no_server_knows_is_not_kept(guarded: Any, root: str, file: pathlib.Path) -> None:
    unknown = guarded("auth", "login", stdin=root[:-1] + ("0" if root[-1] != "0" else "1"))
    empty = guarded("auth", "login", stdin="")

    assert (unknown.code, empty.code) == (4, 2)
    assert not file.exists()


def test_the_environment_wins_over_a_profile_and_a_flag_over_both(
    guarded: Any, root: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    guarded("auth", "login", stdin=root)
    keys = {name: guarded.done("keys", "create", name, "--role", "viewer")["text"] for name in ("a", "b")}
    (key_file := tmp_path / "key").touch(mode=0o600)
    key_file.write_text(keys["b"])

    of_profile = guarded.done("auth", "whoami")["principal"]
    monkeypatch.setenv("PERDURE_KEY", keys["a"])
    of_environment = guarded.done("auth", "whoami")["principal"]
    of_flag = guarded.done("--key-file", key_file, "auth", "whoami")["principal"]

    assert [of_profile, of_environment, of_flag] == ["keys/root", "keys/a", "keys/b"]


def test_a_profile_s_key_is_for_its_own_server_alone(guarded: Any, root: str) -> None:
    guarded("auth", "login", stdin=root)
    host, port = guarded.server.address.split(":")
    same_server_by_another_name = f"localhost:{port}"

    assert host == "127.0.0.1"
    assert guarded("auth", "whoami").code == 0
    assert guarded("--server", same_server_by_another_name, "auth", "whoami").code == 4
    assert guarded("config", "profile", "set", "default", "--server", same_server_by_another_name).code == 0
    assert guarded.done("config", "profile", "show")["key"] == "none"


def test_a_profile_says_where_the_server_is(guarded: Any, root: str, tmp_path: pathlib.Path) -> None:
    (key_file := tmp_path / "key").touch(mode=0o600)
    key_file.write_text(root)
    address = guarded.server.address
    guarded("config", "profile", "set", "away", "--server", "127.0.0.1:1")
    guarded("config", "profile", "set", "here", "--server", address, "--key-file", key_file)

    unnamed = guarded.apart("auth", "whoami", PERDURE_SERVER="", PERDURE_PROFILES=str(tmp_path / "own/profiles.json"))
    named = guarded.apart(
        "auth", "whoami", "--profile", "here", PERDURE_SERVER="", PERDURE_PROFILES=str(tmp_path / "own/profiles.json")
    )
    guarded("config", "profile", "use", "here")
    used = guarded.apart("auth", "whoami", PERDURE_SERVER="", PERDURE_PROFILES=str(tmp_path / "own/profiles.json"))

    assert [told.code for told in (unnamed, named, used)] == [6, 0, 0]
    assert "keys/root" in used.out


def test_what_is_forgotten_is_gone_from_the_file(guarded: Any, root: str, file: pathlib.Path) -> None:
    guarded("auth", "login", "--profile", "site", stdin=root)

    out = guarded("auth", "logout")
    again = guarded("auth", "logout")

    assert (out.code, again.code) == (0, 5)
    assert root not in file.read_text()
    assert guarded("auth", "whoami").code == 4
    assert guarded("config", "profile", "delete", "site").code == 0
    assert json.loads(file.read_text()) == {"current": "", "profiles": {}}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(perdure: Any, file: pathlib.Path, mode: int) -> None:
    perdure("config", "profile", "set", "site", "--server", perdure.server.address)
    file.chmod(mode)

    refused = perdure("flows", "list")

    assert refused.code == 2
    assert f"run: chmod 600 {file}" in " ".join(refused.err.replace("│", " ").split())


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"current": "a", "profiles": {"a": {}}}', '{"current": "", "profiles": {"a b": {}}}',
                '{"current": "", "profiles": {"a": {"server": "http://x", "key": "", "key_file": ""}}}',
                '{"current": "", "profiles": {"a": {"server": "x", "key": "two words", "key_file": ""}}}']
)  # fmt: skip
def test_a_file_that_holds_something_else_is_refused(perdure: Any, file: pathlib.Path, content: str) -> None:
    file.parent.mkdir()
    file.touch(mode=0o600)
    file.write_text(content)

    refused = perdure("flows", "list")

    assert refused.code == 2
    assert "is no file of profiles" in " ".join(refused.err.replace("│", " ").split())
    assert "two words" not in refused.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--profile", "nobody", "flows", "list"),
        ("flows", "list", "--profile", "nobody"),
        ("config", "profile", "use", "nobody"),
        ("config", "profile", "show"),
        ("config", "profile", "delete", "nobody"),
        ("config", "profile", "set", "a b"),
        ("config", "profile", "set", "a", "--server", "http://x"),
        ("auth", "logout", "--profile", "nobody"),
    ],
)
def test_a_profile_that_is_none_is_refused(perdure: Any, file: pathlib.Path, arguments: tuple[str, ...]) -> None:
    refused = perdure(*arguments)

    assert refused.code == 2
    assert not file.exists()


def test_a_server_that_runs_open_needs_no_key_and_none_is_kept(perdure: Any, file: pathlib.Path) -> None:
    refused = perdure("auth", "login", "-o", "json", stdin="any-key-at-all")

    assert refused.code == 5
    assert json.loads(refused.err.splitlines()[-1])["reason"] == "NOT_NEEDED"
    assert not file.exists()
