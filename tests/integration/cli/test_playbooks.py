"""`perdure playbooks`: from a manifest to a version that may be started, and out of use again."""

import base64
import json
import pathlib
from typing import Any

import yaml

MANIFEST = """
playbook_id: {id}
version: 1.0.0
title: Tea
objective: Make tea
nodes:
  - {{id: brew, type: deterministic, command: echo, args: [tea], effect: none}}
"""
EVIDENCE = '[{"kind": "review", "id": "CHG-1", "description": "two of us read it"}]'


def written(tmp_path: pathlib.Path, text: str) -> pathlib.Path:
    path = tmp_path / "tea.yaml"
    path.write_text(text)
    return path


def test_a_version_goes_from_a_file_to_active_and_out_of_use(perdure: Any, tmp_path: pathlib.Path) -> None:
    file = written(tmp_path, MANIFEST.format(id="tea"))

    checked = perdure.done("playbooks", "validate", "--manifest-file", file)
    created = perdure.done("playbooks", "create", "--manifest-file", file)
    which = ["tea", "--version", "1.0.0", "--digest", created["digest"]]
    published = perdure.done("playbooks", "publish", *which, "--evidence-refs-json", EVIDENCE, "--status", "canary")
    active = perdure.done("playbooks", "publish", *which, "--evidence-refs-json", EVIDENCE)
    revoked = perdure.done("playbooks", "revoke", *which, "--reason", "it stains")

    assert checked["digest"] == created["digest"]
    states = [created, published, active, revoked]
    assert [version["publication"].removeprefix("PUBLICATION_") for version in states] == [
        "DRAFT", "CANARY", "ACTIVE", "REVOKED",
    ]  # fmt: skip
    assert active["evidence"] == json.loads(EVIDENCE)
    assert revoked["history"][-1]["reason"] == "it stains"


def test_people_are_told_the_next_command_and_not_shown_the_manifest_again(
    perdure: Any, tmp_path: pathlib.Path
) -> None:
    file = written(tmp_path, MANIFEST.format(id="green-tea"))

    checked = perdure("playbooks", "validate", "--manifest-file", file)
    created = perdure("playbooks", "create", "--manifest-file", file)
    digest = next(line.split()[-1] for line in created.out.splitlines() if line.startswith("digest:"))
    which = f"green-tea --version 1.0.0 --digest {digest}"
    published = perdure("playbooks", "publish", *which.split(), "--evidence-refs-json", EVIDENCE)

    assert f"store it: perdure playbooks create --manifest-file {file}" in checked.err
    assert f"publish it: perdure playbooks publish {which}" in created.err
    assert f"start it: perdure flows start --playbook-id {which} --session-id SESSION" in published.err
    assert "command: echo" not in created.out + published.out


def test_a_faulty_manifest_is_refused_with_every_place(perdure: Any, tmp_path: pathlib.Path) -> None:
    file = written(tmp_path, MANIFEST.format(id="bad").replace("command: echo", "effort: 3"))

    told = perdure("playbooks", "validate", "--manifest-file", file)
    data = perdure("playbooks", "validate", "--manifest-file", file, "-o", "json")
    refused = perdure("playbooks", "create", "--manifest-file", file)

    assert (told.code, data.code, refused.code) == (1, 1, 1)
    assert "valid:       no" in told.out
    for fault in data.document["errors"]:
        assert fault["path"] in told.err
        assert fault["path"] in refused.err
    assert "(PLAYBOOK_INVALID)" in refused.err
    assert "Next:  correct the manifest" in refused.err


def test_the_manifest_comes_back_byte_for_byte(perdure: Any) -> None:
    text = MANIFEST.format(id="white-tea") + "# two minutes\n"
    perdure.done("playbooks", "create", "--manifest-file", "-", stdin=text)

    assert perdure("playbooks", "get", "white-tea", "--version", "1.0.0", "--manifest").out == text
    stored = perdure.done("playbooks", "get", "playbooks/white-tea/versions/1.0.0")
    assert base64.b64decode(stored["document"]["text"]).decode() == text


def test_lists_and_single_things_come_as_table_json_and_yaml(perdure: Any) -> None:
    perdure.done("playbooks", "create", "--manifest-file", "-", stdin=MANIFEST.format(id="black-tea"))

    table = perdure("playbooks", "list").out
    lines = perdure("playbooks", "list", "-o", "json").lines
    documents = list(yaml.safe_load_all(perdure("playbooks", "list", "-o", "yaml").out))

    assert table.splitlines()[0].split() == ["PLAYBOOK", "TITLE", "LATEST", "ACTIVE", "AGE"]
    assert "black-tea" in table
    assert lines == documents
    one = perdure("playbooks", "get", "black-tea", "-o", "yaml")
    assert yaml.safe_load(one.out) == perdure.done("playbooks", "get", "black-tea")


def test_another_manifest_under_a_stored_version_is_refused(perdure: Any) -> None:
    text = MANIFEST.format(id="rooibos")
    perdure.done("playbooks", "create", "--manifest-file", "-", stdin=text)

    told = perdure("playbooks", "create", "--manifest-file", "-", stdin=text.replace("Tea", "Rooibos"))

    assert told.code == 5
    assert "(VERSION_EXISTS)" in told.err
    assert "raise `version` in the manifest" in told.err


def test_publishing_asks_for_evidence_and_names_the_option(perdure: Any) -> None:
    created = perdure.done("playbooks", "create", "--manifest-file", "-", stdin=MANIFEST.format(id="oolong"))

    none = perdure("playbooks", "publish", created["name"], "--digest", created["digest"], "--evidence-refs-json", "[]")
    broken = perdure(
        "playbooks", "publish", created["name"], "--digest", created["digest"], "--evidence-refs-json", '[{"sort": 1}]'
    )

    assert (none.code, broken.code) == (2, 2)
    assert "evidence: at least one reference" in none.err
    assert "Next:  correct --evidence-refs-json" in none.err
    assert "'--evidence-refs-json'" in broken.err


def test_a_draft_is_not_started_and_the_command_that_publishes_it_is_named(perdure: Any) -> None:
    created = perdure.done("playbooks", "create", "--manifest-file", "-", stdin=MANIFEST.format(id="draft"))
    perdure("sessions", "create", "ops")

    told = perdure.start(created)

    assert told.code == 5
    assert (
        f"Next:  publish it when it is reviewed: perdure playbooks publish {created['name']} --digest SHA256"
        in told.err
    )


def test_another_digest_leads_to_what_is_stored(perdure: Any) -> None:
    created = perdure.done("playbooks", "create", "--manifest-file", "-", stdin=MANIFEST.format(id="changed"))
    perdure("sessions", "create", "ops")

    told = perdure.start(created | {"digest": "0" * 64})

    assert told.code == 5
    assert (
        f"Next:  look at what is stored before you give its digest: perdure playbooks get {created['name']}" in told.err
    )


def test_a_session_that_was_there_is_said_to_have_been(perdure: Any) -> None:
    first, again = (perdure("sessions", "create", "twice") for _ in range(2))

    assert (first.code, first.err) == (0, "")
    assert (again.code, again.err) == (0, "it was there already; nothing has changed\n")
    assert again.out.splitlines()[0] == first.out.splitlines()[0]
