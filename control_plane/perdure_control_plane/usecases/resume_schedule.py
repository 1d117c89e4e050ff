"""Lets a schedule go on with the next of its times."""

from dataclasses import replace

from perdure.audit.events import AuditType
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.schedule import Schedule
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition
from perdure_control_plane.usecases.timetables import next_time


async def resume_schedule(store: Store, caller: Caller, schedule_id: str, request_id: str) -> Schedule:
    """Resumes a schedule; one that is not paused is returned as it is. Raises NotFound, RequestIdReused."""

    def body(tx: Transaction) -> Schedule:
        before = tx.schedules.get(schedule_id, lock=True)
        repeated = is_repetition(tx, caller, request_id, "ResumeSchedule", before.name)
        if repeated or not before.paused:
            return before
        following = next_time(before, tx.now)
        after = replace(before, paused=False, next_at=following, due_at=before.fires_at(following))
        tx.schedules.save(before, after)
        tx.audit.record(Act(AuditType.SCHEDULE_RESUMED, caller, before.name, request_id))
        return after

    return await store.write(body)
