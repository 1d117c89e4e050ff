"""Lets no time of a schedule come."""

from dataclasses import replace

from perdure.audit.events import AuditType
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.schedule import Schedule
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


async def pause_schedule(store: Store, caller: Caller, schedule_id: str, request_id: str) -> Schedule:
    """Pauses a schedule; one that is paused is returned as it is. Raises NotFound, RequestIdReused."""

    def body(tx: Transaction) -> Schedule:
        before = tx.schedules.get(schedule_id, lock=True)
        repeated = is_repetition(tx, caller, request_id, "PauseSchedule", before.name)
        if repeated or before.paused:
            return before
        after = replace(before, paused=True, next_at=0, due_at=0)
        tx.schedules.save(before, after)
        tx.audit.record(Act(AuditType.SCHEDULE_PAUSED, caller, before.name, request_id))
        return after

    return await store.write(body)
