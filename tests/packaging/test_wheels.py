"""The two distributions, built and installed as a stranger would: their wheels hold everything, and the programs work."""

import importlib.metadata
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = pathlib.Path(__file__).parents[2]
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".perdure", "build", "dist", "*_cache", "__pycache__", "*_pb2*", "tests"
)


def call(*command: str | os.PathLike[str], cwd: pathlib.Path) -> str:
    """Runs a command and returns what it printed; a command that fails fails the test with all of it."""
    ended = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}"
    return ended.stdout


@dataclass(frozen=True)
class Installed:
    """An environment that has the two wheels, and sees the locked dependencies."""

    programs: pathlib.Path
    folder: pathlib.Path
    """Empty, and outside the source tree."""

    def run(self, program: str, *arguments: str) -> str:
        return call(self.programs / program, *arguments, cwd=self.folder)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Both wheels, by distribution, built from a copy of the sources that has no generated stubs."""
    copy = tmp_path_factory.mktemp("source") / "perdure"
    shutil.copytree(ROOT, copy, ignore=NOT_SOURCE)
    built = tmp_path_factory.mktemp("wheels")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    call(*pip, "--no-build-isolation", "--wheel-dir", built, "clients/python", ".", cwd=copy)
    return {path.name.partition("-")[0]: path for path in built.glob("*.whl")}


@pytest.fixture(scope="module")
def installed(wheels: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check")
    call(*pip, "--no-deps", "--no-index", *wheels.values(), cwd=home)
    (site,) = home.glob("lib/python*/site-packages")
    # A path file is not read for the path files it leads to, so the editable install of this tree stays out.
    (site / "locked.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return Installed(home / "bin", tmp_path_factory.mktemp("elsewhere"))


def names(wheel: pathlib.Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: pathlib.Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return archive.read(path).decode()


def test_there_is_one_wheel_for_each_distribution(wheels: dict[str, pathlib.Path]) -> None:
    assert set(wheels) == {"perdure", "perdure_server"}


@pytest.mark.parametrize("distribution", ["perdure", "perdure_server"])
def test_a_wheel_declares_the_licence_by_its_spdx_id(wheels: dict[str, pathlib.Path], distribution: str) -> None:
    declared = re.findall(r"^License-Expression: (.+)$", metadata(wheels[distribution]), re.MULTILINE)

    assert declared == ["Apache-2.0"]


def test_the_client_s_wheel_has_the_stubs_and_no_server(wheels: dict[str, pathlib.Path]) -> None:
    files = names(wheels["perdure"])
    protos = sorted((ROOT / "protos/perdure/v1").glob("*.proto"))

    stubs = {
        f"perdure/v1/{proto.stem}_pb2{kind}" for proto in protos for kind in (".py", ".pyi", "_grpc.py", "_grpc.pyi")
    }
    assert stubs - files == set()
    assert "perdure/py.typed" in files
    assert {name.split("/")[0] for name in files if ".dist-info" not in name} == {"perdure"}


def test_the_server_s_wheel_has_the_migrations_and_no_client(wheels: dict[str, pathlib.Path]) -> None:
    files = names(wheels["perdure_server"])
    storage = "control_plane/perdure_control_plane/storage"
    migrations = {
        f"perdure_control_plane/storage/{path.relative_to(ROOT / storage).as_posix()}"
        for path in (ROOT / storage / "migrations").rglob("*")
        if path.suffix in (".py", ".mako")
    }

    packages = {"perdure_control_plane", "perdure_executor", "perdure_services"}
    assert len(migrations) >= 3
    assert migrations - files == set()
    assert {f"{package}/py.typed" for package in packages} - files == set()
    assert {name.split("/")[0] for name in files if ".dist-info" not in name} == packages


def test_no_wheel_has_tests_or_tools(wheels: dict[str, pathlib.Path]) -> None:
    files = {name for wheel in wheels.values() for name in names(wheel)}

    assert [name for name in files if "test" in name.lower() or name.endswith("generate_stubs.py")] == []


def test_what_is_installed_is_what_the_wheels_brought(installed: Installed) -> None:
    script = "import perdure, perdure_services; print(perdure.__file__, perdure_services.__file__)"

    printed = installed.run("python", "-c", script)

    assert str(ROOT) not in printed
    assert printed.count(str(installed.programs.parent)) == 2


@pytest.mark.parametrize(
    ("program", "command"), [("perdure", "playbooks"), ("perdure", "runs"), ("perdure-server", "up")]
)
def test_a_program_says_what_it_does(installed: Installed, program: str, command: str) -> None:
    assert command in installed.run(program, "--help")


def test_the_client_says_its_version(installed: Installed) -> None:
    assert installed.run("perdure", "--version").strip() == f"perdure {importlib.metadata.version('perdure')}"


@pytest.fixture
def address(installed: Installed) -> Iterator[str]:
    """Where a server started from the wheels listens."""
    command = [installed.programs / "perdure-server", "up", "--port", "0", "--log-format", "json"]
    with subprocess.Popen(command, cwd=installed.folder, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            said = []
            for line in server.stderr:
                said.append(line)
                if found := re.search(r'"address": "([^"]+)"', line):
                    yield found[1]
                    break
            else:
                pytest.fail(f"it did not start:\n{''.join(said)}")
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=30)
    assert server.returncode == 0


def test_a_server_from_the_wheels_starts_and_is_well(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="store"), timeout=10)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_client_from_the_wheels_talks_to_it(installed: Installed, address: str) -> None:
    assert "sqlite" in installed.run("perdure", "--server", address, "status")
