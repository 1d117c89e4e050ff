"""Effects as messages."""

from perdure.runlog.ledger import LedgerEntry
from perdure.v1 import run_effects_pb2

State = run_effects_pb2.EffectRecord


def effect(entry: LedgerEntry) -> run_effects_pb2.EffectRecord:
    """What an attempt has done, or may have done."""
    return run_effects_pb2.EffectRecord(
        instance=str(entry.instance),
        effect=entry.effect,
        state=_state(entry),
        idempotency_key=entry.idempotency_key,
        begun_sequence=entry.begun_sequence,
        begin_time=entry.begun_time,
        beginnings=entry.beginnings,
        executor_id=entry.executor_id,
        lease_id=entry.lease_id,
        settled_sequence=entry.settled_sequence,
        settle_time=entry.settled_time,
        outcome=entry.outcome,
        doubted_sequence=entry.doubted_sequence,
        resolution_sequence=entry.resolution_sequence,
        resolution=entry.resolution,
        resolver=entry.resolver,
        reports=[run_effects_pb2.LateWord(sequence=sequence, report=report) for sequence, report in entry.reports],
    )


def _state(entry: LedgerEntry) -> run_effects_pb2.EffectRecord.State.ValueType:
    if entry.resolution_sequence:
        return State.STATE_RESOLVED
    if entry.settled_sequence:
        return State.STATE_SETTLED
    if entry.doubted_sequence:
        return State.STATE_IN_DOUBT
    return State.STATE_LOST if entry.lost else State.STATE_BEGUN
