"""The editable install that `make install` makes: a type checker sees every package from outside the tree."""

import pathlib
import subprocess
import sys

import pytest

CALLER = """
from perdure.client import Client
from perdure.runlog.states import RunState
from perdure.v1.plans_pb2 import PlanNode
from perdure.v1.runs_pb2 import GetRunRequest, Run
from perdure_control_plane.domain.limits import Limits
from perdure_executor.backoff import retry_delay
from perdure_services.settings import ControlPlaneSettings


async def state(client: Client) -> {returned}:
    run: Run = await client.runs.GetRun(GetRunRequest(name="runs/x"))
    limits: Limits = ControlPlaneSettings().limits
    pause: float = retry_delay(PlanNode(id="a"), 1)
    return run.last_sequence if limits.max_page_size and pause else len(RunState)
"""


def check(folder: pathlib.Path, text: str) -> tuple[int, str]:
    """mypy's exit code and words about a file that lies outside the source tree."""
    (folder / "caller.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", "caller.py"]
    ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return ended.returncode, ended.stdout


@pytest.mark.timeout(120)
def test_a_type_checker_sees_all_packages_from_outside_the_tree(tmp_path: pathlib.Path) -> None:
    right = check(tmp_path, CALLER.format(returned="int"))
    wrong = check(tmp_path, CALLER.format(returned="str"))

    assert right == (0, "")
    assert wrong[0] == 1
    assert "Incompatible return value type" in wrong[1]
