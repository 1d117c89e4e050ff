"""Exports: what is checked of a file, and that no change of it goes unseen."""

import hashlib
import pathlib
from collections.abc import Callable

import pytest
import typer

from perdure.cli.exported_logs import ExportCheck
from perdure.cli.verdicts import Examined
from perdure.client.exports import FORM, write_record
from perdure.runlog.digests import NO_EVENTS, next_digest
from perdure.runlog.instances import Instance, Step
from perdure.runlog.rules import Rule
from perdure.v1 import instances_pb2, node_events_pb2, plans_pb2, run_events_pb2, run_states_pb2, runs_pb2
from perdure.v1.exports_pb2 import ExportedEnd, ExportedPlan, ExportedRun, ExportHeader
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent

EFFECT = instances_pb2.EFFECT_NONE
PLAN = plans_pb2.Plan(
    nodes=[plans_pb2.PlanNode(id="say", effect=EFFECT, function=plans_pb2.FunctionNode())], jump_limit=1
).SerializeToString()
DIGEST = hashlib.sha256(PLAN).digest()


def log() -> list[RecordedEvent]:
    """One run of one node, which prints a line."""
    where = Instance((Step("say", 1),), 1).message()
    lineage = instances_pb2.Lineage(lineage_id="line")
    succeeded, completed = instances_pb2.OUTCOME_SUCCEEDED, run_states_pb2.RUN_STATE_COMPLETED
    outside = [
        RunEvent(run_created=run_events_pb2.RunCreated(plan_digest=DIGEST, lineage=lineage)),
        RunEvent(lease_granted=run_events_pb2.LeaseGranted(lease_id="l", epoch=1)),
    ]
    by_holder = [
        RunEvent(node_started=node_events_pb2.NodeStarted(instance=where, effect=EFFECT)),
        RunEvent(task_output=node_events_pb2.TaskOutput(instance=where, content=b"packed")),
        RunEvent(node_settled=node_events_pb2.NodeSettled(instance=where, effect=EFFECT, outcome=succeeded)),
        RunEvent(run_ended=run_events_pb2.RunEnded(state=completed)),
    ]
    events = []
    for sequence, event in enumerate([*outside, *by_holder], 1):
        recorded = RecordedEvent(run_id="r", sequence=sequence, event=event)
        if sequence > len(outside):
            recorded.holder.lease_id, recorded.holder.epoch, recorded.holder.ordinal = "l", 1, sequence - 2
        else:
            recorded.outside.actor = "system"
        events.append(recorded)
    return events


@pytest.fixture
def export(tmp_path: pathlib.Path) -> pathlib.Path:
    path, events, digest = tmp_path / "runs.export", log(), NO_EVENTS
    state = run_states_pb2.RUN_STATE_COMPLETED
    row = runs_pb2.Run(name="runs/r", state=state, last_sequence=len(events), ended_sequence=len(events))
    with path.open("wb") as file:
        write_record(file, header=ExportHeader(form=FORM))
        write_record(file, plan=ExportedPlan(digest=DIGEST, plan=PLAN))
        write_record(file, run=ExportedRun(run=row, plan_digest=DIGEST))
        for recorded in events:
            digest = next_digest(digest, recorded, recorded.event.SerializeToString())
            write_record(file, event=recorded)
        write_record(file, end=ExportedEnd(last_sequence=len(events), head_digest=digest))
    return path


def examine(path: pathlib.Path) -> Examined:
    examined = Examined()
    ExportCheck(examined, keep=False).read(path)
    return examined


def test_a_sound_export_is_sound(export: pathlib.Path) -> None:
    found = examine(export)

    assert (found.violations, found.runs, found.events, found.broken_off) == ([], 1, 6, 0)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda whole: whole.replace(b"packed", b"parcel"), Rule.DIGEST),
        (lambda whole: whole.replace(b"system", b"sister"), Rule.DIGEST),
        (lambda whole: whole[:-5], Rule.READABLE),
        (lambda whole: whole[:-38], Rule.READABLE),
        (lambda whole: whole.replace(b"say", b"sag", 1), Rule.DIGEST),
    ],
    ids=["what was printed", "who did it", "its last bytes are gone", "its end is gone", "the plan"],
)
def test_what_was_changed_in_an_export_is_found(
    export: pathlib.Path, change: Callable[[bytes], bytes], rule: Rule
) -> None:
    export.write_bytes(change(export.read_bytes()))

    assert {violation.rule for violation in examine(export).violations} == {rule}


def test_an_event_with_a_number_that_no_event_has_is_found(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "bent").open("wb") as file:
        write_record(file, header=ExportHeader(form=FORM))
        write_record(file, plan=ExportedPlan(digest=DIGEST, plan=PLAN))
        write_record(file, run=ExportedRun(run=runs_pb2.Run(name="runs/r"), plan_digest=DIGEST))
        write_record(file, event=RecordedEvent(run_id="r", sequence=-(2**63)))
        write_record(file, end=ExportedEnd(last_sequence=1))

    found = {violation.rule for violation in examine(tmp_path / "bent").violations}

    assert found == {Rule.SEQUENCE, Rule.DIGEST}


def test_what_is_no_export_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").write_bytes(b"\x05hello")

    for name in ("other", "none"):
        with pytest.raises(typer.BadParameter, match=name):
            examine(tmp_path / name)
