"""The key file of a data directory."""

import pathlib
import resource

import pytest

from perdure_services.keys import KeysUnusable, load_keys


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: pathlib.Path) -> None:
    assert load_keys(tmp_path) == load_keys(tmp_path)

    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_start_that_ended_while_it_wrote_the_keys_hinders_no_other(tmp_path: pathlib.Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(KeysUnusable, match="large"):
            load_keys(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert load_keys(tmp_path) == load_keys(tmp_path)
