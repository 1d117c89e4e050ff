"""`perdure verify`: reads logs over the network, and believes nobody."""

import pathlib
import sqlite3
import subprocess
from collections.abc import Callable
from typing import Any

DELIVER = """
playbook_id: deliver
version: 1.0.0
title: Deliver
objective: Deliver a parcel exactly once
nodes:
  - {id: pack, type: deterministic, command: echo, args: [packed], effect: none}
  - id: deliver
    type: deterministic
    command: sh
    args: ["-c", 'echo "{\\"key\\": \\"$PERDURE_IDEMPOTENCY_KEY\\", \\"node\\": \\"deliver\\"}" >> ledger.jsonl']
    effect: at_most_once
"""


def verdicts(told: Any) -> dict[str, str]:
    return {rule["rule"]: rule["verdict"] for rule in told.document["rules"]}


def delivered(perdure: Any, key: str = "k") -> str:
    """Delivers one parcel and returns the run."""
    started = perdure.start(perdure.publish(DELIVER), "--idempotency-key", key, "--wait", "-o", "json")
    assert started.code == 0, started
    return str(started.document["root_run"])


def test_a_sound_log_is_said_to_be_sound_and_what_nobody_saw_not_checked(perdure: Any) -> None:
    run = delivered(perdure)

    told = perdure("verify", run, "-o", "json")
    table = perdure("verify", run)

    assert (told.code, told.document["violations"], told.document["runs"]) == (0, [], 1)
    unseen = {rule for rule, verdict in verdicts(told).items() if verdict == "not checked"}
    assert unseen == {"ACKNOWLEDGED", "AUDITED", "LAUNCHED", "PROJECTION", "SNAPSHOT"}
    assert {verdict for rule, verdict in verdicts(told).items() if rule not in unseen} == {"ok"}
    assert "no witness; give one with --acks FILE" in table.out
    assert table.err == f"1 run, {told.document['events']} events, no violation\n"


def test_witnesses_are_heard(perdure: Any) -> None:
    run = delivered(perdure)
    server = perdure.server

    told = perdure("verify", run, "--acks", server.log, "--launches", server.directory / "ledger.jsonl", "-o", "json")

    unseen = {rule for rule, verdict in verdicts(told).items() if verdict != "ok"}
    assert (told.code, unseen) == (0, {"AUDITED", "PROJECTION", "SNAPSHOT"})


def test_a_run_a_flow_or_all_runs_are_chosen_and_not_two_of_them(perdure: Any) -> None:
    delivered(perdure)
    flow = perdure("flows", "list", "-o", "json").lines[0]

    assert perdure("verify", "--flow-id", flow["name"], "-o", "json").document["runs"] == 1
    assert (
        perdure("verify", "--all", "-o", "json").document["runs"] == len(perdure("runs", "list").out.splitlines()) - 1
    )
    for arguments in ([], ["--all", flow["root_run"]], ["--flow-id", flow["name"], "--all"]):
        refused = perdure("verify", *arguments)
        assert refused.code == 2
        assert "say which runs" in refused.err
    assert perdure("verify", "nobody").code == 3


def test_a_bent_log_is_found_with_its_place(own: Callable[..., Any]) -> None:
    perdure = own()
    run = delivered(perdure)
    with sqlite3.connect(perdure.server.data_dir / "perdure.db") as database:
        database.execute("UPDATE run_events SET ordinal = 9 WHERE ordinal = 1")
        database.execute("UPDATE runs SET state = 'FAILED'")
    database.close()

    told = perdure("verify", run, "-o", "json")
    table = perdure("verify", run)

    assert (told.code, table.code) == (1, 1)
    assert {rule for rule, verdict in verdicts(told).items() if verdict == "violated"} == {"LEASE", "ROW"}
    place = next(found for found in told.document["violations"] if found["rule"] == "LEASE")
    assert place["run"] == run
    assert f"LEASE {run.removeprefix('runs/')}@{place['sequence']}: ordinal 9 stands where 1 was due" in table.out


def test_a_lost_acknowledgement_and_a_second_launch_are_found(perdure: Any, tmp_path: pathlib.Path) -> None:
    run = delivered(perdure)
    acks, launches = tmp_path / "acks.jsonl", tmp_path / "launches.jsonl"
    acks.write_text(f'{{"run": "{run.removeprefix("runs/")}", "sequence": 1000}}\n')
    launches.write_text((perdure.server.directory / "ledger.jsonl").read_text().splitlines()[-1] + "\n")
    ledger = launches.read_text() * 2
    launches.write_text(ledger)

    told = perdure("verify", "--all", "--acks", acks, "--launches", launches, "-o", "json")

    assert told.code == 1
    assert {found["rule"] for found in told.document["violations"]} >= {"ACKNOWLEDGED", "LAUNCHED"}


def test_a_witness_of_other_runs_says_nothing_about_this_one(perdure: Any, tmp_path: pathlib.Path) -> None:
    run = delivered(perdure)
    acks, launches = tmp_path / "acks.jsonl", tmp_path / "launches.jsonl"
    acks.write_text('{"run": "another", "sequence": 1000}\n')
    launches.write_text('{"key": "of another run", "node": "elsewhere"}\n')

    told = perdure("verify", run, "--acks", acks, "--launches", launches, "-o", "json")

    assert told.code == 0
    assert (verdicts(told)["ACKNOWLEDGED"], verdicts(told)["LAUNCHED"]) == ("not checked", "not checked")


def test_a_witness_that_cannot_be_read_is_named_with_its_line(perdure: Any, tmp_path: pathlib.Path) -> None:
    acks = tmp_path / "acks.jsonl"
    acks.write_text('{"run": "a", "sequence": 1}\n{"run": "a"}\n')

    told = perdure("verify", "--all", "--acks", acks)

    assert told.code == 2
    assert "'--acks'" in told.err
    assert "line 2" in told.err


def test_an_export_is_checked_without_a_server(perdure: Any, tmp_path: pathlib.Path) -> None:
    run = delivered(perdure)
    file = tmp_path / "runs.export"

    written = perdure("runs", "export", run, "--to", file)
    told = perdure("--server", "127.0.0.1:1", "verify", "--export", file, "-o", "json")
    again = perdure("runs", "export", run, "--to", file)

    assert (written.code, written.out) == (0, "")
    assert written.err.startswith("1 run, ")
    assert file.stat().st_mode & 0o777 == 0o600
    assert (told.code, told.document["violations"], told.document["runs"]) == (0, [], 1)
    unseen = {rule for rule, verdict in verdicts(told).items() if verdict != "ok"}
    assert unseen == {"ACKNOWLEDGED", "AUDITED", "LAUNCHED", "PROJECTION", "SNAPSHOT"}
    assert (again.code, "is there already" in again.err) == (5, True)


def test_an_export_can_go_to_standard_output(perdure: Any, tmp_path: pathlib.Path) -> None:
    run, file, written = delivered(perdure), tmp_path / "runs.export", []

    for to in ("-", "/dev/stdout"):
        written.append(perdure.into(str(file), "runs", "export", run, "--to", to, "-o", "json"))
        told = perdure("verify", "--export", file, "-o", "json")
        assert (told.code, told.document["violations"], told.document["runs"]) == (0, [], 1)
        file.unlink()

    assert [each.code for each in written] == [0, 0]
    assert written[0].err == f"1 run, {told.document['events']} events\n"


def test_an_export_that_there_is_no_room_for_leaves_nothing(perdure: Any, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "runs.export"
    export = perdure.command(("runs", "export", delivered(perdure), "--to", file))

    without_room = ["sh", "-c", 'ulimit -f 0 && exec "$@"', "sh", *export]
    told = subprocess.run(without_room, env=perdure.environment(), timeout=50, capture_output=True, text=True)

    assert told.returncode == 1
    assert told.stderr == (
        f"Error: {file} cannot be written: File too large (NOT_WRITABLE)\n"
        "Next:  make room there, or name another, and repeat\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_was_changed_or_cut_is_found(perdure: Any, tmp_path: pathlib.Path) -> None:
    delivered(perdure)
    file = tmp_path / "runs.export"
    assert perdure("runs", "export", "--all", "--to", file).code == 0
    whole = file.read_bytes()

    file.write_bytes(whole.replace(b"packed\n", b"parcel\n"))
    changed = perdure("verify", "--export", file, "-o", "json")
    file.write_bytes(whole[:-40])
    cut = perdure("verify", "--export", file, "-o", "json")
    file.write_bytes(b"nothing of the kind")
    other = perdure("verify", "--export", file)

    assert (changed.code, cut.code, other.code) == (1, 1, 2)
    assert {found["rule"] for found in changed.document["violations"]} == {"DIGEST"}
    assert {found["rule"] for found in cut.document["violations"]} == {"READABLE"}
    assert "does not begin as an export does" in other.err or "cannot be read" in other.err
