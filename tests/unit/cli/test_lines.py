"""What is followed as lines: a run that comes to stand is told with what it needs, as it happens and afterwards."""

from typing import Any

import pytest

from perdure.cli.following.lines import lines
from perdure.cli.following.node_story import Stage
from perdure.cli.following.story import Story
from perdure.v1 import fact_events_pb2, instances_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent

LOOK = "perdure runs recovery r"
NODE = instances_pb2.Instance(path=[{"node": "send", "visit": 1}], attempt=1)
HOLDER = run_events_pb2.HolderOrigin(lease_id="l", epoch=1)
SWEEP = run_events_pb2.OutsideOrigin(cause=run_events_pb2.OUTSIDE_CAUSE_SWEEP, actor="system")
ADA = run_events_pb2.OutsideOrigin(cause=run_events_pb2.OUTSIDE_CAUSE_REQUEST, actor="ada")


def log(*events: tuple[Any, dict[str, Any]]) -> list[RecordedEvent]:
    """Events of one run, each with who appended it."""
    return [
        RecordedEvent(
            run_id="r",
            sequence=number,
            event=RunEvent(**event),
            **({"holder": origin} if origin is HOLDER else {"outside": origin}),
        )
        for number, (origin, event) in enumerate(events, 1)
    ]


LOST = log(
    (ADA, {"run_created": run_events_pb2.RunCreated()}),
    (SWEEP, {"lease_granted": run_events_pb2.LeaseGranted(lease_id="l", epoch=1)}),
    (HOLDER, {"node_started": {"instance": NODE, "effect": instances_pb2.EFFECT_AT_MOST_ONCE}}),
    (SWEEP, {"lease_revoked": run_events_pb2.LeaseRevoked(lease_id="l", epoch=2)}),
)
HELD = log(
    (ADA, {"run_created": run_events_pb2.RunCreated()}),
    (
        SWEEP,
        {"fact_recorded": {"hold_placed": {"cause": fact_events_pb2.HOLD_CAUSE_TAKEOVER_LIMIT}}},
    ),
    (
        ADA,
        {
            "fact_recorded": {
                "hold_released": {"cause": fact_events_pb2.HOLD_CAUSE_TAKEOVER_LIMIT, "reason": "it was the disk"}
            }
        },
    ),
)


PAUSED = log(
    (ADA, {"run_created": run_events_pb2.RunCreated()}),
    (ADA, {"fact_recorded": {"hold_placed": {"cause": fact_events_pb2.HOLD_CAUSE_OPERATOR, "reason": "a\tlook"}}}),
    (ADA, {"fact_recorded": {"hold_released": {"cause": fact_events_pb2.HOLD_CAUSE_OPERATOR}}}),
)


def told(events: list[RecordedEvent], known: int) -> list[str]:
    """What is said of each event, without the time; `known` as many were there when following began."""
    story, said = Story(alone=True, known=known), []
    for event in events:
        story.tell(event)
        said += [line.removeprefix("00:00:00Z ") for line in lines(story, event)]
    return said


@pytest.mark.parametrize("known", [1, len(LOST)], ids=["as it happens", "afterwards"])
def test_a_lost_executor_that_leaves_a_doubt_is_told_with_where_to_look(known: int) -> None:
    assert told(LOST, known)[-2:] == [
        "the executor was lost; send:1#1 is in doubt, and the run is held",
        f"nobody knows whether send:1#1 happened: {LOOK}",
    ]


def test_a_hold_is_told_with_its_cause_and_with_who_released_it_and_why() -> None:
    assert told(HELD, 1)[1:] == [
        "the run is held (takeover limit)",
        f"it is held: {LOOK}",
        "the run is held no longer, released by ada (takeover limit): it was the disk",
    ]


def test_a_pause_is_told_with_who_paused_it_and_why_and_how_it_is_resumed() -> None:
    assert told(PAUSED, 1)[1:] == [
        "the run is held by ada (operator): a look",
        "it is paused by ada: a look: perdure runs resume r",
        "the run is held no longer, released by ada (operator)",
    ]


def test_an_attempt_after_which_there_is_a_back_off_is_told_once_and_stays_failed_when_that_is_cut_short() -> None:
    failed = {"outcome": instances_pb2.OUTCOME_FAILED, "cause": instances_pb2.FAILURE_CAUSE_EXIT_CODE, "message": "3"}
    events = log(
        (ADA, {"run_created": run_events_pb2.RunCreated()}),
        (SWEEP, {"lease_granted": run_events_pb2.LeaseGranted(lease_id="l", epoch=1)}),
        (HOLDER, {"node_started": {"instance": NODE}}),
        (HOLDER, {"node_settled": {"instance": NODE, **failed}}),
        (HOLDER, {"wait_opened": {"instance": NODE, "backoff": {}, "timeout": {"seconds": 90}}}),
        (HOLDER, {"wait_closed": {"instance": NODE, "cause": instances_pb2.FAILURE_CAUSE_STOPPED}}),
    )
    story = Story()
    for event in events:
        story.tell(event)

    (attempt,) = story.runs["r"].nodes.values()
    assert (attempt.stage, attempt.note) == (Stage.FAILED, "exit code: 3")
    assert told(events, 1)[1:] == ["send:1#1 started", "send:1#1 failed after 0s: exit code: 3"]
