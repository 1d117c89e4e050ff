"""Checkpoints: positions in a run's log, and what had just happened there."""

from dataclasses import dataclass
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from perdure.runlog.instances import instance
from perdure.runlog.states import run_state
from perdure.v1 import instances_pb2
from perdure.v1.run_events_pb2 import RecordedEvent

LABELLED_KINDS: Final = (
    "node_settled",
    "node_in_doubt",
    "wait_opened",
    "run_ended",
    "approval_voided",
    "jumped",
    "choice_made",
    "failure_taken",
    "child_started",
    "run_continued",
)
"""Kinds of events after which a position is worth listing."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One position. `checkpoint_id` is `<run_id>@<sequence>`."""

    checkpoint_id: str
    sequence: int
    label: str
    stored_time: Timestamp


def checkpoint(recorded: RecordedEvent) -> Checkpoint:
    """The checkpoint at an event of one of LABELLED_KINDS."""
    checkpoint_id = f"{recorded.run_id}@{recorded.sequence}"
    return Checkpoint(checkpoint_id, recorded.sequence, _label(recorded), recorded.stored_time)


def _label(recorded: RecordedEvent) -> str:
    event = recorded.event
    match event.WhichOneof("kind"):
        case "node_settled":
            settled = event.node_settled
            outcome = instances_pb2.Outcome.Name(settled.outcome).removeprefix("OUTCOME_").lower().replace("_", " ")
            return f"{instance(settled.instance)} {outcome}"
        case "node_in_doubt":
            return f"{instance(event.node_in_doubt.instance)} in doubt"
        case "wait_opened":
            return f"{instance(event.wait_opened.instance)} waiting"
        case "approval_voided":
            return f"{instance(event.approval_voided.instance)} voided"
        case "jumped":
            return f"jumped to {event.jumped.target}"
        case "choice_made":
            choice = event.choice_made
            return f"{instance(choice.instance)} " + (f"goes on with {choice.target}" if choice.target else "failed")
        case "failure_taken":
            return f"failure of {instance(event.failure_taken.instance)} taken"
        case "child_started":
            return f"{instance(event.child_started.instance)} started runs/{event.child_started.run_id}"
        case "run_continued":
            return "continued"
        case _:
            return f"run {run_state(event.run_ended.state).value.lower().replace('_', ' ')}"
