"""What has arrived for a run, as messages."""

from perdure.v1 import run_inbox_pb2
from perdure_control_plane.domain.inbox import InboxFact


def fact(value: InboxFact) -> run_inbox_pb2.InboxFact:
    """One arrival."""
    recorded = value.recorded
    return run_inbox_pb2.InboxFact(
        sequence=recorded.sequence,
        record_time=recorded.stored_time,
        actor=recorded.outside.actor,
        fact=recorded.event.fact_recorded,
        state=run_inbox_pb2.InboxFact.State.Value(f"STATE_{value.state}"),
    )
