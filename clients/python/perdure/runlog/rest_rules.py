"""What must be true of a run where its log ends."""

from collections.abc import Iterator

from perdure.runlog.head import RunHead
from perdure.runlog.rules import Fault, Rule
from perdure.runlog.states import RunState, run_state
from perdure.runlog.walk import Walk
from perdure.v1 import runs_pb2


def rest_faults(head: RunHead, walk: Walk) -> Iterator[Fault]:
    """Whether a run may rest where the log ends."""
    if (head.state is RunState.RUNNING) != (head.lease_id is not None):
        yield Rule.STATE, f"it is {head.state} and {head.lease_id or 'nobody'} holds it"
    if head.state is RunState.QUEUED and (head.held or not head.ready):
        yield Rule.STATE, "it is queued and may not go on"
    if head.state is RunState.PAUSED and not head.held and (walk.untaken() or not head.open_waits):
        yield Rule.STATE, "it is paused, and nothing keeps it from going on"
    open_waits = sum(1 for wait in walk.waits.values() if not wait.fact_sequence)
    if head.open_waits != open_waits:
        yield Rule.STATE, f"it counts {head.open_waits} open waits; its walk has {open_waits}"
    in_doubt = sum(1 for doubt in walk.doubts.values() if not doubt.resolution_sequence)
    if head.in_doubt != in_doubt:
        yield Rule.STATE, f"it counts {head.in_doubt} effects in doubt; its walk has {in_doubt}"


def row_faults(head: RunHead, row: runs_pb2.Run) -> Iterator[Fault]:
    """Whether the server shows the run as its log says it is."""
    lease = (head.lease_id or "", head.epoch if head.lease_id else 0)
    said = (head.state, head.last_sequence, head.ended_sequence, head.in_doubt, lease)
    shown_lease = (row.lease.lease_id, row.lease.epoch)
    shown = (run_state(row.state), row.last_sequence, row.ended_sequence, row.effects_in_doubt, shown_lease)
    if said != shown:
        yield Rule.ROW, f"the server shows {shown}; the log says {said}"
