"""What `deploy/` says, read: the services of a deployment, with the command, the folders and the times of each."""

import configparser
import pathlib
import re
import shlex
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"
STATE = "/state/"
"""Where the folder of a unit is taken to be; systemd makes it, and says where it is."""


@dataclass(frozen=True)
class Service:
    """One program of a deployment."""

    name: str
    words: tuple[str, ...]
    """Its command line, without the program's name."""
    folders: dict[str, str]
    """Folders that outlive it and that it may write to, each with the name of what is kept there."""
    stop_seconds: int
    """How long it has to end when it is asked to."""


def seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)s?", str(text))
    assert found is not None, f"{text} is not a number of seconds"
    return int(found[1])


def read_compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return content


def composed() -> list[Service]:
    services = read_compose()["services"].items()
    return [
        Service(
            name,
            tuple(service["command"]),
            {folder: volume for volume, _, folder in (entry.partition(":") for entry in service["volumes"])},
            seconds(service["stop_grace_period"]),
        )
        for name, service in services
        if "entrypoint" not in service
    ]


def read_unit(name: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=True, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # its keys are words with capitals
    unit.read_string((DEPLOY / "systemd" / name).read_text())
    return unit


def of_unit(name: str, instance: str = "") -> Service:
    own = read_unit(name)["Service"]
    folder = STATE + own["StateDirectory"]
    line = own["ExecStart"].replace("${STATE_DIRECTORY}", folder).replace("%H", "host").replace("%i", instance)
    return Service(name, tuple(shlex.split(line)[1:]), {folder: own["StateDirectory"]}, seconds(own["TimeoutStopSec"]))


@pytest.fixture
def compose() -> dict[str, Any]:
    return read_compose()


@pytest.fixture
def unit() -> Any:
    return read_unit


@pytest.fixture(params=["compose", "systemd"])
def services(request: pytest.FixtureRequest) -> list[Service]:
    """The programs of each deployment: a control plane and two executors."""
    if request.param == "compose":
        return composed()
    return [
        of_unit("perdure-control-plane.service"),
        of_unit("perdure-executor@.service", "1"),
        of_unit("perdure-executor@.service", "2"),
    ]
