"""Snapshots: a walk that is restored goes on as the one it was taken of."""

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.runlog.folding import fold_event
from perdure.runlog.interpreter import decide
from perdure.runlog.plans import WalkPlan
from perdure.runlog.shapes import shape_name, shape_of
from perdure.runlog.snapshots import FORM, SnapshotUnreadable, restore_walk, take_snapshot
from perdure.runlog.walk import Walk
from perdure.v1 import plans_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from tests.unit.runlog.conftest import Rehearsal
from tests.unit.runlog.graphs import Disorder, graphs

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@EXAMPLES
@given(plan=graphs(guards=True, maps=True), data=st.data())
def test_from_whatever_position_a_walk_is_restored_it_goes_on_as_the_whole_log_says(plan: WalkPlan, data: Any) -> None:
    run = Rehearsal(plan).create()
    Disorder(run, data.draw).play(trouble=True)
    snapshots, whole = [], Walk(plan)
    for sequence, (event, _) in enumerate(run.log, 1):
        fold_event(whole, event, sequence)
        snapshots.append(take_snapshot(whole, sequence))

    taken = data.draw(st.sampled_from(snapshots))
    restored, at = restore_walk(plan, taken.state + taken.contents)

    assert (at, take_snapshot(restored, at)) == (taken.sequence, taken)
    for sequence, (event, _) in enumerate(run.log[at:], at + 1):
        fold_event(restored, event, sequence)
        assert take_snapshot(restored, sequence) == snapshots[sequence - 1]
    assert (restored, decide(restored)) == (whole, decide(whole))


@pytest.fixture
def plan() -> WalkPlan:
    return WalkPlan(plans_pb2.Plan(nodes=[plans_pb2.PlanNode(id="a")]))


def test_without_its_contents_a_snapshot_says_what_stands_where_and_nothing_else(plan: WalkPlan) -> None:
    walk = Walk(plan)
    entered = run_events_pb2.RunInput(json=b'{"secret": 1}', content="long " * 1000)
    fold_event(walk, RunEvent(run_input=entered), 2)
    taken = take_snapshot(walk, 2)

    bare, _ = restore_walk(plan, taken.state)

    assert b"secret" not in taken.state
    assert (bare.input, bare.content, len(taken.state) < 200) == (b"", "", True)
    assert dataclasses.replace(bare.nodes["a"]) == walk.nodes["a"]
    assert restore_walk(plan, taken.state + taken.contents)[0] == walk


def test_every_field_of_a_walk_counts_for_the_form() -> None:
    @dataclasses.dataclass
    class More(Walk):
        another: int = 0

    @dataclasses.dataclass
    class Strange:
        unknown: object

    assert shape_name(More, given=(WalkPlan,)) != FORM
    assert shape_name(Walk, given=(WalkPlan,)) == FORM
    with pytest.raises(TypeError):
        shape_of(Strange)


@pytest.mark.parametrize("spoil", ["another form", "no snapshot", "cut", "more than a walk"])
def test_what_is_no_snapshot_of_this_form_is_refused(plan: WalkPlan, spoil: str) -> None:
    state = take_snapshot(Walk(plan), 7).state
    spoilt = {
        "another form": state.replace(FORM.encode(), FORM[::-1].encode()),
        "no snapshot": b"\xff\xff",
        "cut": state.replace(b"\x01a", b"\x01"),
        "more than a walk": state + b"\x20\x02",
    }

    with pytest.raises(SnapshotUnreadable):
        restore_walk(plan, spoilt[spoil])
