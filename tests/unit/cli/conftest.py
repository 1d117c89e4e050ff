"""What unit tests of the command line are given: every command that there is."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from typer.main import get_command

from perdure.cli.main import COMMANDS
from perdure_services.main import app as server_app


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
    for word, one in (inner or {}).items():
        yield from leaves(f"{name} {word}", one)


@pytest.fixture(scope="session")
def commands() -> dict[str, Any]:
    """Every command of both programs, by what is typed."""
    client = {
        typed: command
        for name, lazy in COMMANDS.items()
        for typed, command in leaves(f"perdure {name}", get_command(import_module(lazy.module).app))
    }
    return client | dict(leaves("perdure-server", get_command(server_app)))
