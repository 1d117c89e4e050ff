"""Fires a schedule now, because somebody says so."""

from perdure.audit.events import AuditDetail, AuditType
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.domain.schedule import Firing
from perdure_control_plane.usecases.fire_schedules import fire
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


async def trigger_schedule(store: Store, limits: Limits, caller: Caller, schedule_id: str, request_id: str) -> Firing:
    """Fires it, as its overlap policy says; a repetition returns the last firing. Raises NotFound, RequestIdReused."""

    def body(tx: Transaction) -> Firing:
        before = tx.schedules.get(schedule_id, lock=True)
        if is_repetition(tx, caller, request_id, "TriggerSchedule", before.name):
            return next(one for one in tx.firings.page(schedule_id, 0, 500) if one.triggered)
        after = fire(tx, limits, before, tx.now, triggered=True)
        tx.schedules.save(before, after)
        firing = tx.firings.get(schedule_id, tx.now)
        details = {AuditDetail.STATE: firing.state.value}
        tx.audit.record(Act(AuditType.SCHEDULE_TRIGGERED, caller, before.name, request_id, details))
        return firing

    return await store.write(body, Order.GUARDED)
