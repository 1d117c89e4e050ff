"""`perdure-server backup` and `restore`: what they make, and what they refuse."""

import fcntl
import json
import os
import pathlib
import signal
import sqlite3
import stat
import tempfile
from typing import Any

import pytest
from typer.testing import CliRunner

from perdure_services.main import app


def program(*words: str, folder: pathlib.Path) -> tuple[int, str, str]:
    """Runs `perdure-server` in a folder; its exit code and what it printed on both streams."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(app, words)
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
async def served(serve: Any, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the store of a server that runs, in `.perdure`."""
    await serve(data_dir=tmp_path / ".perdure")
    return tmp_path


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_backup_says_what_it_is_and_is_its_owners_alone(served: pathlib.Path) -> None:
    code, out, err = program("backup", "copies/monday", "-o", "json", folder=served)

    copy, told = served / "copies" / "monday", json.loads(out)
    assert (code, err) == (0, "")
    assert (told["generation"], told["schema_version"], told["runs"], told["checked"]) == (1, "0001", 0, True)
    assert {file["name"] for file in told["files"]} == {"keys.json", "perdure.db"}
    assert json.loads((copy / "backup.json").read_text()) == told
    assert {stat.S_IMODE(path.stat().st_mode) for path in copy.iterdir()} == {0o600}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    assert names(served / "copies") == ["monday"]


async def test_only_a_backup_is_replaced_and_only_when_asked(served: pathlib.Path) -> None:
    (served / "mine").mkdir()
    (served / "mine" / "notes.txt").write_text("keep")
    program("backup", "copy", "--no-keys", folder=served)

    again = program("backup", "copy", folder=served)
    over_mine = program("backup", "mine", "--overwrite", folder=served)
    replaced = program("backup", "copy", "--overwrite", folder=served)

    assert (again[0], over_mine[0], replaced[0]) == (2, 2, 0)
    assert "replace it with --overwrite" in again[2]
    assert "mine is no backup" in over_mine[2]
    assert names(served / "mine") == ["notes.txt"]
    assert names(served / "copy") == ["backup.json", "keys.json", "perdure.db"]
    assert names(served) == [".perdure", "copy", "mine"]


async def test_a_store_with_faults_is_copied_only_when_nobody_looks(served: pathlib.Path) -> None:
    with sqlite3.connect(served / ".perdure" / "perdure.db") as database:
        database.execute("INSERT INTO run_queue VALUES ('ghost', 'default', 0, 0, 1, '[]', '[]', '', 0)")
    database.close()

    looked = program("backup", "copy", folder=served)
    left = names(served)
    unseen = program("backup", "copy", "--no-check", folder=served)

    assert (looked[0], unseen[0]) == (1, 0)
    assert "PROJECTION ghost: " in looked[2]
    assert "no backup was made; --no-check" in looked[2]
    assert left == [".perdure"]
    assert "not checked" in unseen[1]


async def test_nothing_is_restored_over_what_is_there(served: pathlib.Path) -> None:
    program("backup", "copy", folder=served)
    (served / "empty" / "lost+found").mkdir(parents=True)
    (served / "used").mkdir()
    (served / "used" / "perdure.starts").write_text("7\n")

    living = program("restore", "copy", folder=served)
    used = program("restore", "copy", "--data-dir", "used", folder=served)
    empty = program("restore", "copy", "--data-dir", "empty", folder=served)
    again = program("restore", "copy", "--data-dir", "empty", folder=served)

    assert (living[0], used[0], empty[0], again[0]) == (2, 2, 0, 2)
    assert "is held by another server" in living[2]
    assert "used is not empty (perdure.starts)" in used[2]
    assert "begins generation 2" in empty[1]
    assert names(served / "used") == ["perdure.starts"]
    assert names(served / "empty") == ["keys.json", "lost+found", "perdure.db", "perdure.lock"]


async def test_a_database_alone_is_put_beside_the_keys_that_are_there(served: pathlib.Path) -> None:
    program("backup", "alone", "--no-keys", folder=served)
    program("backup", "whole", folder=served)
    for name in ("kept", "others"):
        (served / name).mkdir()
        (served / name / "keys.json").write_text(name)

    kept = program("restore", "alone", "--data-dir", "kept", folder=served)
    others = program("restore", "whole", "--data-dir", "others", folder=served)

    assert (kept[0], others[0]) == (0, 2)
    assert (served / "kept" / "keys.json").read_text() == "kept"
    assert "has other keys than the backup" in others[2]
    assert names(served / "others") == ["keys.json"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda copy: (copy / "perdure.db").write_bytes(b"damaged"), "is not what the backup's manifest says"),
        (lambda copy: (copy / "perdure.db").unlink(), "is missing, which the backup's manifest names"),
        (lambda copy: (copy / "backup.json").unlink(), "is no backup: backup.json in it cannot be read"),
        (lambda copy: (copy / "backup.json").write_text("{}"), "is of a newer version, or damaged"),
        (lambda copy: newer(copy / "backup.json"), "was written by a newer server"),
    ],
    ids=["damaged", "not whole", "no backup", "no manifest", "newer"],
)
async def test_what_is_no_sound_backup_is_refused_with_a_sentence(served: pathlib.Path, spoil: Any, said: str) -> None:
    program("backup", "copy", folder=served)
    spoil(served / "copy")

    code, _, err = program("restore", "copy", "--data-dir", "new", folder=served)

    assert code == 2
    assert said in err
    assert not (served / "new").exists()


def newer(manifest: pathlib.Path) -> None:
    manifest.write_text(manifest.read_text().replace('"0001"', '"9999"'))


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_postgresql_store_is_left_to_postgresqls_own_programs(tmp_path: pathlib.Path, command: str) -> None:
    (tmp_path / "server.toml").write_text('[control_plane]\ndatabase = "postgresql://nobody@127.0.0.1:1/none"\n')

    code, _, err = program(command, "copy", "--settings", "server.toml", folder=tmp_path)

    assert code == 2
    assert "pg_dump and pg_restore" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)], ids=["new", "in the place of one"])
async def test_nothing_stays_of_a_backup_that_is_interrupted(
    served: pathlib.Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, overwrite: tuple[str, ...]
) -> None:
    for _ in overwrite:
        program("backup", "copy", folder=served)
    before = names(served)

    def interrupted(partial: pathlib.Path, *_: Any) -> None:
        assert names(partial) == ["keys.json", "perdure.db"]
        signal.raise_signal(number)

    monkeypatch.setattr("perdure_services.backup.write_manifest", interrupted)
    code, out, err = program("backup", "copy", *overwrite, folder=served)

    assert (code, out) == (130, "")
    assert err == "perdure-server: it was interrupted, and nothing was changed\n"
    assert names(served) == before


async def test_what_a_killed_backup_has_left_is_removed_by_the_next_to_the_same_place(served: pathlib.Path) -> None:
    others = [".copy.own.partial", ".copy.abcdefgh.partial", ".copies.abcdefgh.partial", ".copy.abcdefgh.old"]
    for name in (".copy.killed00.partial", *others):
        (served / name).mkdir()
        (served / name / "keys.json").write_text("secret")
    (served / others[1] / "notes.txt").write_text("somebody's own")
    with tempfile.TemporaryDirectory(prefix=".copy.", suffix=".partial", dir=served) as under_way:
        descriptor = os.open(under_way, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        code, _, err = program("backup", "copy", folder=served)
        os.close(descriptor)
        left = names(served)

    assert code == 0
    assert ".copy.killed00.partial was left by a backup that was broken off, and is removed" in err
    assert f"{pathlib.Path(under_way).name} is of another backup; where none is being made, remove it" in err
    assert left == sorted([".perdure", pathlib.Path(under_way).name, "copy", *others])
