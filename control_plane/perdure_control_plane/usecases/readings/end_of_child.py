"""The fact with which a run learns that a run it started has ended."""

from perdure.runlog.instances import parse_instance
from perdure.v1 import fact_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Transaction


def end_of_child(tx: Transaction, where: str, child_id: RunId, sequence: int, *, stale: bool) -> list[RunEvent]:
    """The fact, with what the child left, for the attempt that waits for it; `stale` where it does not wait any more."""
    end = tx.events.at(child_id, sequence).event.run_ended
    instance = parse_instance(where).message()
    child = tx.runs.get(child_id)
    ended = fact_events_pb2.ChildEnded(
        run_id=child_id,
        ended_sequence=sequence,
        state=end.state,
        cause=end.cause,
        message=end.message,
        output_digest=end.output_digest,
        stale=stale,
        in_doubt=child.head.in_doubt > 0,
        redo=_redo(tx, child, sequence) if child.identity.part_instance else 0,
    )
    fact = RunEvent(fact_recorded=fact_events_pb2.FactRecorded(instance=instance, child_ended=ended))
    if stale or not end.output_digest:
        return [fact]
    content = fact_events_pb2.FactContent(instance=instance, json=_output(tx, child_id, sequence))
    return [RunEvent(fact_content=content), fact]


def _redo(tx: Transaction, part: Run, sequence: int) -> int:
    """How often "retry as new" was said of what a part does, before it ended."""
    begun = tx.events.last_of_kind_before(part.run_id, "node_started", sequence)
    alone = begun is not None and not begun.event.node_started.instance.path[-1].item
    return begun.event.node_started.redo if begun is not None and alone else 0


def _output(tx: Transaction, child_id: RunId, sequence: int) -> bytes:
    said = tx.events.last_of_kind_before(child_id, "run_output", sequence)
    if said is None:
        raise DataCorrupt(f"runs/{child_id}", f"what it left does not stand before its end at {sequence}")
    return said.event.run_output.json
