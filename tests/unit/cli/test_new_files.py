"""Files that a command makes: nothing that is there is written over, and what cannot be made is named."""

import pathlib

import pytest

from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused
from perdure.cli.manifests import write_conversion
from perdure.v1.playbooks_pb2 import ConvertedPlaybook, ConvertPlaybookResponse, PlaybookDocument


def converted() -> ConvertPlaybookResponse:
    """A playbook `team` that starts a playbook `look`."""
    child = ConvertedPlaybook(document=PlaybookDocument(text=b"of the child"))
    child.review.playbook_id = "look"
    answer = ConvertPlaybookResponse(document=PlaybookDocument(text=b"of the team"), children=[child])
    answer.review.playbook_id = "team"
    return answer


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

    assert (raised.value.code, raised.value.reason) == (ExitCode.USAGE, "NOT_WRITABLE")
    assert str(raised.value) == f"{out} cannot be written: No such file or directory"
    assert raised.value.next_step
