"""`perdure playbooks convert`: documents for other systems, as manifests that run as they are."""

import base64
import json
import pathlib
from typing import Any

import pytest

from tests.unit.conversion import starters

WITHOUT_PEOPLE = {"rcasd": (starters.RCASD, "topic=logs"), "ivtr": (starters.IVTR, "task=tea")}


@pytest.mark.parametrize("name", WITHOUT_PEOPLE)
def test_a_starter_converts_and_runs_as_it_is(perdure: Any, tmp_path: pathlib.Path, name: str) -> None:
    text, given = WITHOUT_PEOPLE[name]
    (tmp_path / "book.cantbook").write_text(text)

    converted = perdure("playbooks", "convert", tmp_path / "book.cantbook", "--out", tmp_path / "book.yaml")
    ran = perdure("run", tmp_path / "book.yaml", "--input", given)

    assert converted.code == 0, converted.err
    assert "changed: nodes[0]" in converted.err
    assert "run completed" in ran.out + ran.err, ran.out + ran.err
    assert ran.code == 0


def test_a_release_stops_at_its_hold_point(perdure: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "release.cantbook").write_text(starters.RELEASE)

    converted = perdure("playbooks", "convert", tmp_path / "release.cantbook", "--from", "cantbook", "-o", "json")
    (tmp_path / "release.json").write_text(converted.out)
    ran = perdure("run", written(tmp_path, json.loads(converted.out)), "--input", "version=1")

    assert (converted.code, ran.code) == (0, 9), ran.out + ran.err
    assert "Release 1?" in ran.out + ran.err


def written(folder: pathlib.Path, answer: dict[str, Any]) -> pathlib.Path:
    manifest = folder / "manifest.yaml"
    manifest.write_bytes(base64.b64decode(answer["document"]["text"]))
    return manifest


def test_what_is_lost_is_told_and_with_strict_it_is_a_failure(perdure: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "spec.yaml").write_text(starters.REVIEWED)

    told = perdure("playbooks", "convert", tmp_path / "spec.yaml")
    strict = perdure("playbooks", "convert", tmp_path / "spec.yaml", "--strict")
    nothing = perdure("playbooks", "convert", tmp_path / "spec.yaml", "--from", "cantbook")

    assert (told.code, strict.code, nothing.code) == (0, 1, 1)
    assert "lost: workflow.steps[3].ref: " in told.err
    assert told.out.startswith("# Converted from a workflow; 7 things could not be carried over.\n")
    assert nothing.out == ""
    assert nothing.err.startswith("error: ")
    assert "(VERSION_UNKNOWN)" in nothing.err


def test_several_playbooks_do_not_go_into_one_file(perdure: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "spec.yaml").write_text(starters.NESTED)

    refused = perdure("playbooks", "convert", tmp_path / "spec.yaml", "--out", tmp_path / "one.yaml")
    printed = perdure("playbooks", "convert", tmp_path / "spec.yaml")

    assert refused.code == 2
    assert "--output-dir" in refused.err
    assert not (tmp_path / "one.yaml").exists()
    assert [text.splitlines()[1] for text in printed.out.split("---\n")] == [
        "playbook_id: board.looking",
        "playbook_id: board.drafting",
        "playbook_id: board",
    ]
