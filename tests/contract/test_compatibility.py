"""What was promised in the protos stays: the committed image of them holds every change to it."""

import pathlib
import shutil
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

ROOT = pathlib.Path(__file__).parents[2]
BASELINE = pathlib.Path(__file__).parent / "baseline.binpb"
BUF = pathlib.Path(sys.executable).parent / "buf"


@pytest.fixture
def baseline(tmp_path: pathlib.Path) -> pathlib.Path:
    """The committed image, with the well-known types it imports added from the installed library."""
    image = descriptor_pb2.FileDescriptorSet.FromString(BASELINE.read_bytes())
    ours = {file.name for file in image.file}
    imported = sorted({name for file in image.file for name in file.dependency} - ours)
    assert all(name.startswith("google/protobuf/") for name in imported)
    for name in imported:
        descriptor_pool.Default().FindFileByName(name).CopyToProto(image.file.add())
    whole = tmp_path / "baseline.binpb"
    whole.write_bytes(image.SerializeToString())
    return whole


def breaking(protos: pathlib.Path, baseline: pathlib.Path) -> subprocess.CompletedProcess[str]:
    command = [BUF, "breaking", protos, "--against", baseline, "--exclude-imports"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_protos_keep_what_the_baseline_promises(baseline: pathlib.Path) -> None:
    result = breaking(ROOT, baseline)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("run_events.proto", "RunPaused run_paused = 5;", "RunPaused run_paused = 55;"),
        ("instances.proto", "int32 attempt = 2;", "string attempt = 2;"),
        ("run_states.proto", "  RUN_STATE_MOVED = 10;", "  RUN_STATE_GONE = 10;"),
    ],
    ids=["a field's number changes", "a field's type changes", "an enum value is renamed"],
)
def test_a_broken_promise_is_found(
    baseline: pathlib.Path, tmp_path: pathlib.Path, file: str, before: str, after: str
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(ROOT / "protos", changed / "protos")
    shutil.copy(ROOT / "buf.yaml", changed)
    path = changed / "protos" / "perdure" / "v1" / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))

    result = breaking(changed, baseline)

    assert result.returncode != 0
    assert file in result.stdout
