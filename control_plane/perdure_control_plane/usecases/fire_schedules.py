"""Fires the schedules whose time has come. It tests levels, so it may run at any server, any number of times: that a time
is dealt with, what became of it, and the flow it starts are one commit."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from perdure.audit.events import AuditType
from perdure.runlog.head import Stop
from perdure.runlog.states import OVER
from perdure_control_plane.domain.audit import SCHEDULING, Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import Conflict, PerdureError, RunStateForbids
from perdure_control_plane.domain.flow import FlowView
from perdure_control_plane.domain.ids import FlowId, RunId
from perdure_control_plane.domain.limits import SECOND, Limits
from perdure_control_plane.domain.origin import SWEEP
from perdure_control_plane.domain.run import Run
from perdure_control_plane.domain.schedule import HORIZON, Firing, FiringState, Overlap, Schedule
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.queue_depth import read_depths
from perdure_control_plane.usecases.schedule_starts import checked_start
from perdure_control_plane.usecases.start_flow import begin_flow
from perdure_control_plane.usecases.stop_run import stop_now
from perdure_control_plane.usecases.timetables import next_time

AT_ONCE: Final = 100
"""Schedules that are looked at in one go, and times of one schedule that are dealt with in a transaction."""

KEEP_FIRINGS: Final = 90 * 24 * 3600 * SECOND


@dataclass(slots=True)
class Fired:
    """What was done about schedules."""

    schedules: list[str] = field(default_factory=list)
    """Those of which a time was dealt with."""
    next_at: int = 0
    """When the next time of any comes, by the store's clock; 0 where none is known to."""
    looked_at: int = 0
    failed: dict[str, Exception] = field(default_factory=dict)
    """Schedules that could not be handled, and why; they are as they were, and the others were handled all the same."""


async def fire_schedules(store: Store, limits: Limits) -> Fired:
    """Deals with every time that has come."""
    fired = Fired()
    for schedule_id in await store.read(lambda tx: tx.schedules.due(tx.now, AT_ONCE)):
        try:
            if await store.write(partial(_fire_due, limits=limits, schedule_id=schedule_id), Order.GUARDED):
                fired.schedules.append(schedule_id)
        except PerdureError as error:
            fired.failed[schedule_id] = error
    fired.looked_at, fired.next_at = await store.read(lambda tx: (tx.now, tx.schedules.next_due(tx.now)))
    return fired


def _fire_due(tx: Transaction, limits: Limits, schedule_id: str) -> bool:
    before = tx.schedules.find(schedule_id, lock=True)
    if before is None:
        return False
    after = _after_waiting(tx, limits, before)
    for _ in range(AT_ONCE):
        if after.paused or not 0 < after.due_at <= tx.now:
            break
        after = _after_time(tx, limits, after)
    if after == before:
        return False
    tx.firings.forget(tx.now - KEEP_FIRINGS)
    if not tx.schedules.save(before, after):
        raise Conflict(before.name)
    return True


def _after_waiting(tx: Transaction, limits: Limits, schedule: Schedule) -> Schedule:
    """Starts what waits for the flow before to end, where that has."""
    if not schedule.waiting_at or _under_way(tx, schedule.last_flow_id):
        return schedule
    waited = tx.firings.get(schedule.schedule_id, schedule.waiting_at)
    started = _start(tx, limits, schedule, schedule.waiting_at, triggered=waited.triggered)
    tx.firings.replace(started)
    return replace(schedule, waiting_at=0, last_flow_id=started.flow_id or schedule.last_flow_id)


def _after_time(tx: Transaction, limits: Limits, schedule: Schedule) -> Schedule:
    """Deals with the next of its times, which has come."""
    time = schedule.next_at
    following = next_time(schedule, time)
    if time < tx.now - HORIZON:
        following = next_time(schedule, max(time, tx.now - HORIZON))
        message = "no server was there, nor for any time since that is more than a week ago"
        tx.firings.add(_firing(tx, schedule, time, FiringState.MISSED, message))
        fired = schedule
    elif schedule.is_missed(time, following, tx.now):
        tx.firings.add(_firing(tx, schedule, time, FiringState.MISSED, "no server was there"))
        fired = schedule
    else:
        fired = fire(tx, limits, schedule, time)
    return replace(fired, next_at=following, due_at=schedule.fires_at(following))


def fire(tx: Transaction, limits: Limits, schedule: Schedule, time: int, *, triggered: bool = False) -> Schedule:
    """Does what is to be done at a time, and notes what became of it. The schedule as it is then."""
    under_way = _under_way(tx, schedule.last_flow_id)
    if under_way and schedule.overlap is Overlap.SKIP:
        return _noted(tx, schedule, time, FiringState.SKIPPED, triggered)
    if under_way and schedule.overlap is Overlap.QUEUE_ONE:
        if schedule.waiting_at:
            return _noted(tx, schedule, time, FiringState.SKIPPED, triggered)
        return replace(_noted(tx, schedule, time, FiringState.WAITING, triggered), waiting_at=time)
    if schedule.overlap is Overlap.CANCEL_PREVIOUS:
        _cancel(tx, under_way)
    started = _start(tx, limits, schedule, time, triggered=triggered)
    tx.firings.add(started)
    return replace(schedule, last_flow_id=started.flow_id or schedule.last_flow_id)


def _cancel(tx: Transaction, under_way: list[Run]) -> None:
    """Stops a flow at its root, which tells its children."""
    for root in (run for run in under_way if run.identity.parent_run_id is None):
        error = tx.apart(partial(_stop, tx, root.run_id))
        if error is not None and not isinstance(error, RunStateForbids):
            raise error


def _stop(tx: Transaction, run_id: RunId) -> None:
    run = tx.runs.lock(run_id)
    if stop_now(tx, run, Stop.CANCEL, "the next time of its schedule has come", SWEEP) is not run:
        tx.audit.record(Act(AuditType.RUN_CANCELLED, SCHEDULING, run.name))


def _noted(tx: Transaction, schedule: Schedule, time: int, state: FiringState, triggered: bool) -> Schedule:
    message = f"flows/{schedule.last_flow_id} has not ended"
    tx.firings.add(_firing(tx, schedule, time, state, message, triggered=triggered))
    return schedule


def _start(tx: Transaction, limits: Limits, schedule: Schedule, time: int, *, triggered: bool) -> Firing:
    caller = Caller(schedule.principal, authenticated=False, method=SCHEDULING.method)
    begun: list[FlowView] = []

    def part() -> None:
        checked = checked_start(tx, schedule, time)
        begun.append(begin_flow(tx, limits, caller, checked, read_depths(tx)))

    error = tx.apart(part)
    if error is None:
        return _firing(tx, schedule, time, FiringState.STARTED, flow_id=begun[0].flow.flow_id, triggered=triggered)
    if not isinstance(error, PerdureError):
        raise error
    message = f"{error.reason}: {error}"
    return _firing(tx, schedule, time, FiringState.REFUSED, message, triggered=triggered)


def _firing(
    tx: Transaction,
    schedule: Schedule,
    time: int,
    state: FiringState,
    message: str = "",
    *,
    flow_id: FlowId | None = None,
    triggered: bool = False,
) -> Firing:
    return Firing(schedule.schedule_id, time, tx.now, state, flow_id, message, triggered)


def _under_way(tx: Transaction, flow_id: FlowId | None) -> list[Run]:
    """Runs of a flow that have not ended."""
    if flow_id is None:
        return []
    return [run for run in tx.runs.of_flow(flow_id) if run.head.state not in OVER]
