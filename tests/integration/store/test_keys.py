"""The key file of a data directory."""

import asyncio
import json
import pathlib
import resource
import socket

import pytest

from perdure_control_plane.domain.roles import Role
from perdure_services.caller_keys import Wanted, new_key
from perdure_services.control_plane import AddressTaken, control_plane
from perdure_services.keys import KeysUnusable, load_keys
from perdure_services.settings import load_control_plane
from tests.postgres import PostgresServer


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: pathlib.Path) -> None:
    assert load_keys(tmp_path) == load_keys(tmp_path)

    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_file_without_the_secret_behind_callers_keys_is_none(tmp_path: pathlib.Path) -> None:
    load_keys(tmp_path)
    (file,) = tmp_path.iterdir()
    content = json.loads(file.read_text())
    del content["callers"]
    file.write_text(json.dumps(content))

    with pytest.raises(KeysUnusable, match="is not a key file"):
        load_keys(tmp_path)


def test_a_start_that_ended_while_it_wrote_the_keys_hinders_no_other(tmp_path: pathlib.Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(KeysUnusable, match="large"):
            load_keys(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert load_keys(tmp_path) == load_keys(tmp_path)


async def test_the_first_key_of_a_database_is_made_before_any_server_and_says_which_keys_its_servers_have(
    postgres: PostgresServer, tmp_path: pathlib.Path
) -> None:
    database = await postgres.make_empty()
    url = database.render_as_string(hide_password=False)
    here, elsewhere = (load_control_plane(None, {"database": url, "data_dir": tmp_path / name}) for name in "ab")

    made, _ = await new_key(here, Wanted("root", Role.ADMIN, 0, "text"))

    assert made.name == "keys/root"
    with pytest.raises(KeysUnusable, match="copy theirs"):
        await new_key(elsewhere, Wanted("another", Role.ADMIN, 0, "text"))
    await postgres.drop(database)


async def test_a_server_that_cannot_listen_makes_no_directory_and_no_keys(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load_control_plane(None, {"port": port, "data_dir": tmp_path / "new"})
        with pytest.raises(AddressTaken, match=f"port {port} of 127.0.0.1 is taken"):
            async with control_plane(settings, asyncio.Event()):
                pytest.fail("it serves")

    assert not (tmp_path / "new").exists()
