"""Kinds of events: whose they are to append, and which a holder may append only when it has seen every fact."""

from typing import Final

from perdure.v1.run_events_pb2 import RunEvent

KIND_NUMBERS: Final[dict[str, int]] = {
    field.name: field.number for field in RunEvent.DESCRIPTOR.oneofs_by_name["kind"].fields
}
"""The number under which each kind of event is stored: its field number in RunEvent."""

FIRST_DATA_KIND: Final = 100
"""Field number in RunEvent from which kinds change nothing and may be skipped by a reader that does not know them."""

CONTROL_KINDS: Final = tuple(kind for kind, number in KIND_NUMBERS.items() if number < FIRST_DATA_KIND)
"""Kinds without payloads: what stands where follows from them alone."""

FACT_KINDS: Final = frozenset({"stop_requested", "run_continued", "fact_recorded"})
"""Kinds of outside events that the holder must have seen before it may synchronise."""

SYNCHRONISING_KINDS: Final = frozenset({"run_paused", "run_ended", "lease_returned", "jump_begun", "wait_closed"})
"""Kinds of holder events that are accepted only from a holder that has seen every fact."""

RELEASING_KINDS: Final = frozenset({"lease_returned", "run_paused", "run_ended"})
"""Kinds of holder events with which the run is given up; nothing of it runs any more."""

PROGRESS_KINDS: Final = frozenset({
    "node_settled", "node_in_doubt", "unit_content", "wait_opened", "wait_closed", "fact_taken_up", "jump_begun",
    "jumped", "choice_made", "failure_taken", "child_started", "map_begun", "approval_voided", "run_paused", "run_ended",
})  # fmt: skip
"""Holder events by which a run gets on: the next executor does not begin where the last one did."""

HOLDER_KINDS: Final = frozenset({
    "lease_returned", "run_paused", "run_ended", "node_started", "node_settled", "node_in_doubt", "wait_opened",
    "wait_closed", "fact_taken_up", "jump_begun", "jumped", "choice_made", "failure_taken", "child_started",
    "map_begun", "approval_voided", "map_items", "node_output", "task_output", "unit_content", "rendered_arguments",
    "wait_subject", "log_line", "output_files", "run_output",
})  # fmt: skip
"""What a holder may append; everything else, and the end of a run that nobody holds, comes from outside."""


def synchronises(event: RunEvent, kind: str) -> bool:
    """Whether a holder's event is accepted only when the holder has seen every fact.

    What follows from an operator's answer is among them: a late report that it has not seen makes the answer void.
    """
    match kind:
        case "node_started":
            return event.node_started.resolution_sequence > 0
        case "node_settled":
            return event.node_settled.resolution_sequence > 0
    return kind in SYNCHRONISING_KINDS
