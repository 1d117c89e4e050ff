"""The deployments start: their own command lines, as processes, in folders that stand for theirs."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from perdure_services.control_plane import STOP_GRACE_SECONDS
from perdure_services.settings import ControlPlaneSettings, ExecutorSettings

PROGRAMS = pathlib.Path(sys.executable).parent
PLAYBOOK = """
playbook_id: where
version: 1.0.0
title: Where
objective: Say where it runs
acceptance_criteria: [It is said]
nodes:
  - {id: say, type: deterministic, command: pwd, effect: none}
"""


@pytest.fixture
def environment(tmp_path: pathlib.Path) -> dict[str, str]:
    """A port that is free, said as an operator would say it: in the environment of each program."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PERDURE_SERVER": f"127.0.0.1:{port}",
        "PERDURE_CONTROL_PLANE_PORT": str(port),
        "PERDURE_EXECUTOR_SERVER": f"127.0.0.1:{port}",
    }


@pytest.fixture
def started(services: Any, tmp_path: pathlib.Path, environment: dict[str, str]) -> Iterator[list[Any]]:
    """All programs of a deployment, as they are started there, with their folders below a temporary one."""
    for kept in {kept for service in services for kept in service.folders.values()}:
        (tmp_path / kept).mkdir()
    with contextlib.ExitStack() as ending:
        programs = []
        for service in services:
            words = [
                str(tmp_path / service.folders[word]) if word in service.folders else word for word in service.words
            ]
            log = ending.enter_context((tmp_path / f"{service.name}-{len(programs)}.log").open("w"))
            command = [str(PROGRAMS / "perdure-server"), *words]
            programs.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log))
            ending.callback(end, programs[-1])
        yield programs


def end(program: Any) -> None:
    if program.poll() is None:
        program.kill()
    program.wait()


def perdure(environment: dict[str, str], *words: str) -> str:
    ended = subprocess.run([PROGRAMS / "perdure", *words], env=environment, capture_output=True, text=True)
    return ended.stdout if ended.returncode == 0 else f"exit code {ended.returncode}: {ended.stderr}"


def wait_for_executors(started: list[Any], environment: dict[str, str], count: int) -> None:
    while f"{count} live" not in perdure(environment, "status"):  # asking takes long enough
        assert [program.args for program in started if program.poll() is not None] == []


@pytest.mark.timeout(120)
def test_a_deployment_runs_a_playbook_and_ends_as_it_is_asked_to(
    started: list[Any], services: Any, tmp_path: pathlib.Path, environment: dict[str, str]
) -> None:
    wait_for_executors(started, environment, 2)
    (tmp_path / "where.yaml").write_text(PLAYBOOK)

    perdure(environment, "run", str(tmp_path / "where.yaml"))

    assert '"STATE_COMPLETED"' in perdure(environment, "tasks", "list", "trial", "-o", "json")
    for program in reversed(started):
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=30) == 0


def test_there_is_one_control_plane_and_every_executor_has_a_name_of_its_own(services: Any) -> None:
    programs = [service.words[0] for service in services]
    names = [service.words[service.words.index("--name") + 1] for service in services if "--name" in service.words]

    assert programs == ["control-plane", "executor", "executor"]
    assert len(names) == len(set(names)) == 2


def test_executors_share_their_folder_and_have_no_access_to_the_store(services: Any) -> None:
    store, *work = [set(service.folders.values()) for service in services]

    assert work[0] == work[1]
    assert store.isdisjoint(work[0])


def test_every_program_has_the_time_to_stop_that_it_takes(services: Any) -> None:
    server, work = ControlPlaneSettings(), ExecutorSettings()
    needed = {
        "control-plane": STOP_GRACE_SECONDS + server.drain_notice_seconds,
        "executor": work.drain_seconds + work.kill_grace_seconds,
    }

    assert [service.name for service in services if service.stop_seconds < needed[service.words[0]]] == []


def test_nothing_outside_reaches_a_server_that_asks_nobody_who_they_are(compose: dict[str, Any]) -> None:
    services = compose["services"]

    assert [name for name, service in services.items() if "ports" in service or "expose" in service] == []
    assert {service.get("network_mode") for service in services.values()} == {None, "service:loopback"}
    assert "network_mode" not in services["loopback"]


def test_every_volume_is_declared_and_every_declared_one_is_used(compose: dict[str, Any]) -> None:
    named = {volume.partition(":")[0] for one in compose["services"].values() for volume in one.get("volumes", [])}

    assert named == set(compose["volumes"])


def test_the_look_whether_it_is_well_is_a_command_of_ours(compose: dict[str, Any]) -> None:
    asked, *command = compose["services"]["control-plane"]["healthcheck"]["test"]

    assert (asked, command) == ("CMD", ["perdure", "status"])


def test_a_stop_of_an_executor_is_not_told_to_what_it_runs(unit: Any) -> None:
    assert unit("perdure-executor@.service")["Service"]["KillMode"] == "mixed"


def test_a_unit_is_not_started_again_with_settings_that_cannot_be_used(unit: Any, tmp_path: pathlib.Path) -> None:
    refused = subprocess.run(
        [PROGRAMS / "perdure-server", "control-plane", "--host", "192.0.2.1"], cwd=tmp_path, capture_output=True
    )
    units = [unit(name)["Service"] for name in ("perdure-control-plane.service", "perdure-executor@.service")]

    assert [own["RestartPreventExitStatus"] for own in units] == [str(refused.returncode)] * 2


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
@pytest.mark.parametrize("name", ["perdure-control-plane.service", "perdure-executor@.service"])
def test_systemd_understands_the_unit(name: str, unit: Any, tmp_path: pathlib.Path) -> None:
    deploy = pathlib.Path(__file__).parents[2] / "deploy/systemd"
    text = (deploy / name).read_text().replace("/opt/perdure/bin", str(PROGRAMS))
    for other in deploy.iterdir():
        (tmp_path / other.name).write_text(other.read_text().replace("/opt/perdure/bin", str(PROGRAMS)))
    place = tmp_path / name.replace("@", "@1")
    place.write_text(text)

    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", place], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    assert [line for line in ended.stdout.splitlines() if "perdure" in line] == []
