"""Files that a command makes: nothing that is there is written over, and what cannot be made is named."""

import errno
import os
import pathlib
from typing import IO

import pytest

from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused
from perdure.cli.manifests import write_conversion
from perdure.cli.new_files import new_file
from perdure.v1.playbooks_pb2 import ConvertedPlaybook, ConvertPlaybookResponse, PlaybookDocument


def converted() -> ConvertPlaybookResponse:
    """A playbook `team` that starts a playbook `look`."""
    child = ConvertedPlaybook(document=PlaybookDocument(text=b"of the child"))
    child.review.playbook_id = "look"
    answer = ConvertPlaybookResponse(document=PlaybookDocument(text=b"of the team"), children=[child])
    answer.review.playbook_id = "team"
    return answer


def write_on_a_full_disk(file: IO[bytes]) -> None:
    file.write(b"half of it")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_there_when_it_is_whole_and_not_before(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "whole"

    with new_file(path) as file:
        file.write(b"all of it")
        assert not path.exists()

    assert [(made.name, made.read_bytes()) for made in tmp_path.iterdir()] == [("whole", b"all of it")]


def test_nothing_is_left_of_a_file_for_which_there_was_no_room(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "half"

    with pytest.raises(Refused) as raised, new_file(path) as file:
        write_on_a_full_disk(file)

    assert (raised.value.code, raised.value.reason) == (ExitCode.FAILURE, "NOT_WRITABLE")
    assert str(raised.value) == f"{path} cannot be written: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_file_whose_command_failed_otherwise(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_file(tmp_path / "half"):
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("links", [True, False], ids=["with hard links", "without hard links"])
def test_of_two_commands_that_write_one_file_at_a_time_one_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    path = tmp_path / "one"
    if not links:
        monkeypatch.setattr(os, "link", no_links)

    with pytest.raises(Refused) as raised, new_file(path):
        write_fast(path)

    assert (raised.value.code, raised.value.reason) == (ExitCode.CONFLICT, "EXISTS")
    assert [(made.name, made.read_bytes()) for made in tmp_path.iterdir()] == [("one", b"fast")]


def write_fast(path: pathlib.Path) -> None:
    with new_file(path) as fast:
        fast.write(b"fast")


def no_links(*_: object) -> None:
    """As on a disk for cameras."""
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_manifest_that_somebody_has_edited_is_not_written_over(tmp_path: pathlib.Path) -> None:
    out = tmp_path / "team.yaml"
    out.write_text("edited")

    with pytest.raises(Refused) as raised:
        write_conversion(converted(), out, None)

    assert (raised.value.code, raised.value.reason) == (ExitCode.CONFLICT, "EXISTS")
    assert out.read_text() == "edited"


def test_of_several_manifests_none_is_written_where_one_is_there(tmp_path: pathlib.Path) -> None:
    (tmp_path / "team.yaml").write_text("edited")

    with pytest.raises(Refused):
        write_conversion(converted(), None, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["team.yaml"]


def test_of_several_manifests_none_stays_where_the_next_cannot_be_written(tmp_path: pathlib.Path) -> None:
    answer = converted()
    answer.review.playbook_id = "x" * 300

    with pytest.raises(Refused) as raised:
        write_conversion(answer, None, tmp_path)

    assert raised.value.reason == "NOT_WRITABLE"
    assert list(tmp_path.iterdir()) == []


def test_several_manifests_are_written_into_a_folder_that_is_made_for_them(tmp_path: pathlib.Path) -> None:
    written = write_conversion(converted(), None, tmp_path / "a" / "b")

    assert {path.name: path.read_text() for path in written} == {
        "look.yaml": "of the child",
        "team.yaml": "of the team",
    }


def test_a_file_that_cannot_be_made_is_named(tmp_path: pathlib.Path) -> None:
    out = tmp_path / "nowhere" / "team.yaml"

    with pytest.raises(Refused) as raised:
        write_conversion(converted(), out, None)

    assert (raised.value.code, raised.value.reason) == (ExitCode.FAILURE, "NOT_WRITABLE")
    assert str(raised.value) == f"{out} cannot be written: No such file or directory"
    assert raised.value.next_step
