"""What a command promises to leave: looked at when it has ended, recorded once, and told to whoever follows."""

import hashlib
import pathlib
from typing import Any

from perdure.v1 import instances_pb2


async def test_files_that_were_promised_are_in_the_log_with_size_and_digest(workshop: Any) -> None:
    ensures = {"output_files": [{"path": "made/{{ 'report' }}.txt", "min_bytes": 1}]}

    ended = await workshop.run(sh="mkdir -p made && printf done > made/report.txt", ensures=ensures)

    (files,) = [event.output_files.files for event in ended.events if event.HasField("output_files")]
    assert ended.status == "SUCCEEDED"
    assert [(file.path, file.size, file.digest) for file in files] == [
        ("made/report.txt", 4, hashlib.sha256(b"done").digest())
    ]


async def test_a_command_that_ends_well_without_its_file_has_failed_and_what_it_said_is_kept(
    workshop: Any, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "report.txt").write_text("not below the command's own directory")

    ended = await workshop.run(
        command="echo", args=["ticket 7"], cwd="sub", effect="at_most_once", ensures={"output_files": ["report.txt"]}
    )

    assert ended.status == "FAILED"
    assert ended.settled.cause == instances_pb2.FAILURE_CAUSE_ENSURES_NOT_MET
    assert "'report.txt' is not there; its effect has happened" in ended.settled.message
    assert ended.output["stdout"] == "ticket 7\n"
    assert not any(event.HasField("node_in_doubt") for event in ended.events)
    assert ended.task.result.exit_code == 0
