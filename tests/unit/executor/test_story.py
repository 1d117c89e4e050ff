"""What a holder knows of its run: the same however long the log is, and however much of it is taken back."""

import pytest

from perdure.runlog.folding import fold_event
from perdure.runlog.instances import Instance, Step
from perdure.runlog.plans import WalkPlan
from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2, node_events_pb2, plans_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.event_stream import EventStream
from perdure_executor.story import KEPT_EVENTS, Story

EFFECT = instances_pb2.EFFECT_NONE
WHERE = Instance((Step("a", 1),), 1).message()
STARTED = RunEvent(node_started=node_events_pb2.NodeStarted(instance=WHERE, effect=EFFECT))
SETTLED = RunEvent(
    node_settled=node_events_pb2.NodeSettled(
        instance=WHERE, effect=EFFECT, outcome=instances_pb2.OUTCOME_FAILED, message="late"
    )
)


def unit(number: int) -> RunEvent:
    content = node_events_pb2.UnitContent(instance=WHERE, unit=f"unit-{number}", json=b"{}")
    return RunEvent(unit_content=content)


@pytest.fixture
def plan() -> WalkPlan:
    return WalkPlan(plans_pb2.Plan(nodes=[plans_pb2.PlanNode(id="a", effect=EFFECT)]))


async def test_what_is_kept_does_not_grow_with_the_log_and_the_last_of_it_can_be_taken_back(plan: WalkPlan) -> None:
    stream = EventStream("r", "l", 0, lambda stream: None)
    story, expected, most = Story(plan, stream), Walk(plan), 0
    story.begin(b"", [])
    for number, event in enumerate([STARTED, *map(unit, range(20 * KEPT_EVENTS))], 1):
        stream.acknowledge(story.append(event, keep=True) - 10)
        fold_event(expected, event, 0)
        if number % 97 == 0:
            most = max(most, story.kept)
    first = story.append(SETTLED, keep=True)
    for number in range(3 * KEPT_EVENTS):
        story.append(RunEvent(log_line=run_events_pb2.LogLine(text=f"line {number}")), keep=True)

    dropped = story.take_back(first)

    assert most < 3 * KEPT_EVENTS
    assert next(pending.event for pending in dropped) == SETTLED
    assert story.walk == expected
