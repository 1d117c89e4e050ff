"""The image: what it is built from is there, is enough, and is all that the build is sent."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from typing import Final

import pytest

ROOT: Final = pathlib.Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the image's file with what it says, lines that go on joined."""
    text = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def sources() -> dict[str, str]:
    """What is copied from the project, and where to in the folder of the build."""
    copies = [said.split() for kind, said in instructions() if kind == "COPY" and not said.startswith("--from")]
    return {source: target for *named, target in copies for source in named}


def runs(having: str) -> str:
    (found,) = (said for kind, said in instructions() if kind == "RUN" and having in said)
    return found


def test_both_wheels_are_built_from_what_is_copied_and_nothing_else(tmp_path: pathlib.Path) -> None:
    for source, target in sources().items():
        place = tmp_path / "source" / target
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("*_pb2*", "__pycache__"))
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
    command = runs("--no-build-isolation").replace("/wheels", str(tmp_path / "wheels"))
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    ended = subprocess.run(
        shlex.split(command), cwd=tmp_path / "source", env={**os.environ, "PATH": path}, capture_output=True, text=True
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    wheels = {wheel.name.partition("-")[0]: wheel for wheel in (tmp_path / "wheels").iterdir()}
    with zipfile.ZipFile(wheels["perdure"]) as client, zipfile.ZipFile(wheels["perdure_server"]) as server:
        files = {*client.namelist(), *server.namelist()}
    assert {f"perdure/v1/{proto.stem}_pb2.py" for proto in ROOT.glob("protos/perdure/v1/*.proto")} <= files
    assert {f"perdure_{part}/py.typed" for part in ("control_plane", "executor", "services")} <= files


def test_the_build_is_sent_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}

    assert "*" in lines
    assert sent == set(sources())


def test_only_what_the_lock_names_is_fetched_and_each_is_compared_with_its_hash() -> None:
    installing = [said for kind, said in instructions() if kind == "RUN" and "pip" in said]
    fetching = [said for said in installing if "--no-index" not in said]

    assert fetching == [runs("--require-hashes")]
    assert "--requirement requirements.txt" in fetching[0]


def test_what_builds_the_wheels_is_in_the_lock() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    tools = runs("pip install --no-index --find-links /wheels hatchling").split("/wheels")[1].split()

    assert set(tools) <= locked


def test_the_image_runs_as_a_user_of_its_own_and_starts_the_programs() -> None:
    said = dict(instructions())

    assert said["USER"] == "perdure"
    assert said["ENTRYPOINT"] == '["perdure-server"]'
    assert (pathlib.Path(sys.executable).parent / "perdure-server").is_file()


@pytest.mark.parametrize("folder", ["/var/lib/perdure", "/workspace"])
def test_the_folders_that_are_mounted_belong_to_that_user(folder: str) -> None:
    assert re.search(rf"install --directory --owner perdure --group perdure (--mode 700 )?{folder}\b", runs("useradd"))
