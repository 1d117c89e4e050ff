"""The command line over TLS: which CAs know the server, and where that stands."""

import json
import pathlib
from typing import Any

import pytest

from tests.authorities import Authority, authority

from .test_keys import server_program


@pytest.fixture
def ca(tmp_path: pathlib.Path) -> Authority:
    return authority(tmp_path / "ca")


@pytest.fixture
def secured(own: Any, tmp_path: pathlib.Path, ca: Authority, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line, and a server that has a certificate, asks who calls, and has an executor in it."""
    monkeypatch.setenv("PERDURE_KEY", server_program(tmp_path, "keys", "create", "root", "--role", "admin").out.strip())
    monkeypatch.setenv("PERDURE_PROFILES", str(tmp_path / "profiles.json"))
    shown = ca.sign("server", "127.0.0.1")
    settings = tmp_path / "server.toml"
    settings.write_text(
        f'[control_plane]\nauthentication = "required"\ntls_certificate = "{shown.certificate}"\n'
        f'tls_key = "{shown.key}"\ntls_client_ca = "{ca.certificate}"\ntls_client_roles = ["eve=viewer"]\n'
    )
    return own("--settings", str(settings))


def test_what_knows_the_server_may_stand_in_each_place(
    secured: Any, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = ca.sign("eve")
    by_flags = ("--tls-ca", ca.certificate, "--tls-certificate", eve.certificate, "--tls-key", eve.key)

    status = secured(*by_flags, "status", "--wait", "30s")
    without = secured("auth", "whoami")
    kept = secured("config", "profile", "set", "site", "--server", secured.server.address, *by_flags)
    by_profile = secured.done("auth", "whoami")
    monkeypatch.delenv("PERDURE_KEY")
    by_certificate = secured.done("auth", "whoami")
    elsewhere = secured("--server", "localhost:1", "auth", "whoami")

    assert (status.code, without.code, kept.code, elsewhere.code) == (0, 6, 0, 6)
    assert "1 live" in status.out
    assert (by_profile["principal"], by_certificate["principal"]) == ("keys/root", "certificates/eve")


def test_a_key_is_not_sent_in_plain_text_to_another_machine(perdure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_KEY", "a-key-of-mine")

    refused = perdure("--server", "203.0.113.1:7400", "flows", "list")

    assert refused.code == 2
    assert "is not sent to 203.0.113.1:7400 in plain text" in " ".join(refused.err.split())


def test_a_profile_shows_which_cas_know_its_server(perdure: Any, tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PERDURE_PROFILES", str(tmp_path / "profiles.json"))

    perdure("config", "profile", "set", "site", "--server", "site:1", "--tls-ca", "system")
    shown = perdure("config", "profile", "show", "site", "-o", "json")

    assert json.loads(shown.out)["tls_ca"] == "system"
