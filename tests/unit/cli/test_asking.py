"""What nobody has said yes to, and how it is told."""

import json
import pathlib

import pytest
from typer.testing import CliRunner

from perdure.cli.main import app


def refused(folder: pathlib.Path, *arguments: str, **environment: str) -> str:
    """What standard error says of a command that is refused, as a terminal would get it."""
    (folder / "empty.toml").touch()
    settings = {"PERDURE_CONFIG": str(folder / "empty.toml"), **environment}
    told = CliRunner().invoke(app, arguments, env=settings, color=True)
    assert (told.exit_code, told.stdout) == (2, "")
    return told.stderr


def test_a_schedule_is_not_deleted_where_nobody_was_asked(tmp_path: pathlib.Path) -> None:
    told = json.loads(refused(tmp_path, "schedules", "delete", "nightly", "-o", "json"))

    assert told["reason"] == "NOT_CONFIRMED"
    assert "--yes" in told["next"]


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_whoever_wants_no_colour_gets_none(tmp_path: pathlib.Path, no_color: str, coloured: bool) -> None:
    assert ("\x1b[31m" in refused(tmp_path, "schedules", "delete", "nightly", NO_COLOR=no_color)) is coloured
