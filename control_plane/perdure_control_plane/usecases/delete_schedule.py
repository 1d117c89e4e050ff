"""Deletes a schedule and its history."""

from perdure.audit.events import AuditType
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


async def delete_schedule(store: Store, caller: Caller, schedule_id: str, request_id: str) -> None:
    """Deletes it; flows that it has started stay. Raises NotFound, RequestIdReused."""

    def body(tx: Transaction) -> None:
        if is_repetition(tx, caller, request_id, "DeleteSchedule", f"schedules/{schedule_id}"):
            return
        schedule = tx.schedules.get(schedule_id, lock=True)
        tx.schedules.delete(schedule_id)
        tx.audit.record(Act(AuditType.SCHEDULE_DELETED, caller, schedule.name, request_id))

    await store.write(body)
