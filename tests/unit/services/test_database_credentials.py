"""Whether a database has a password is told; the password is not."""

import pathlib

import pytest

from perdure_control_plane.domain.credential import Purpose
from perdure_services.settings import load_control_plane
from perdure_services.stores import database_credential


@pytest.mark.parametrize(
    ("database", "variable", "present"),
    [
        ("postgresql://ada:hush@localhost/perdure", "", [True]),
        ("postgresql://ada@localhost/perdure", "", [False]),
        ("postgresql://ada@localhost/perdure", "hush", [True]),
        ("", "hush", []),
    ],
)
def test_a_password_is_there_or_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, database: str, variable: str, present: list[bool]
) -> None:
    monkeypatch.setenv("PGPASSWORD", variable)
    settings = load_control_plane(None, {"data_dir": tmp_path, "database": database})

    found = database_credential(settings)

    assert [one.is_present for one in found] == present
    assert all(one.purpose is Purpose.DATABASE for one in found)
    assert "hush" not in repr(found)
