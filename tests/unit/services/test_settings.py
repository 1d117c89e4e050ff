"""Settings of the programs: what is not acceptable is refused by its name before anything starts."""

import pathlib
from typing import Any

import pytest

from perdure.addresses import DEFAULT_PORT
from perdure_services.settings import SettingsInvalid, load_control_plane, load_executor


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://u:hidden@h/d", "is no address of a database"),
        ("postgresql://u:hidden@h:port/d", "is no address of a database"),
        ("postgresql://u:hidden@h1:5432,h2:port/d", "is no address of a database"),
        ("postgresql://u:hidden@h", "is no address of a database"),
        ("postgresql://u:hidden@h/d?nonsense=1", "nonsense: no such parameter"),
    ],
)
def test_what_names_no_database_is_refused_and_its_password_not_shown(address: str, said: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"^database: .*{said}") as refused:
        load_control_plane(None, {"database": address})

    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"server": "http://x"}, "server: 'http://x' is no address"),
        ({"workspace": "/nowhere"}, "workspace: there is no directory /nowhere"),
        ({"name": "a b"}, "name"),
        ({"queues": ("ok", "q" * 129)}, "queues"),
        ({"queues": ("q",) * 101}, "queues"),
    ],
)
def test_what_no_server_could_be_found_or_greeted_with_is_refused(flags: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{named}"):
        load_executor(None, flags)


def test_a_variable_that_is_no_setting_is_refused_with_the_one_that_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_CONTROL_PLANE_LEASE_SECOND", "3")

    with pytest.raises(SettingsInvalid, match=r"did you mean PERDURE_CONTROL_PLANE_LEASE_SECONDS\?"):
        load_control_plane(None, {})


def test_an_unknown_field_of_the_file_is_refused_with_the_file_and_the_one_that_is_near(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("[executor]\nslot = 3\n")

    with pytest.raises(SettingsInvalid, match=r"did you mean slots\?") as refused:
        load_executor(file, {})

    assert str(file) in str(refused.value)


@pytest.mark.parametrize("content", ["port = 1\n", "[executer]\nslots = 3\n", "[control_plane]\n[other]\n"])
def test_what_stands_in_no_table_of_ours_is_refused(tmp_path: pathlib.Path, content: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(content)

    with pytest.raises(SettingsInvalid, match=r"^(port|executer|other): is no table of .*server\.toml"):
        load_control_plane(file, {})


def test_what_kubernetes_adds_to_the_environment_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for link in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT_7400_TCP", "PORT_7400_TCP_ADDR"):
        monkeypatch.setenv(f"PERDURE_CONTROL_PLANE_{link}", "10.0.0.7")

    assert load_control_plane(None, {}).port == 7400


def test_a_word_of_a_list_that_is_refused_is_shown_with_the_variable_of_the_list() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load_executor(None, {"labels": ("gpu", "a b")})

    assert str(refused.value) == (
        "labels: 'a b' is not 1 to 128 of letters, digits, '.', '_' and '-' "
        "(flag, PERDURE_EXECUTOR_LABELS, or [executor] in the file)"
    )


def test_a_variable_that_is_empty_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_EXECUTOR_ENCRYPTION_KEYS", "")
    monkeypatch.setenv("PERDURE_CONTROL_PLANE_PORT", "")

    assert load_executor(None, {}).encryption_keys is None
    assert load_control_plane(None, {}).port == DEFAULT_PORT
