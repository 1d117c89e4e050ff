"""Finds what is overdue: lost holders, stops, deadlines of runs and of people. It tests levels, so it may run anywhere,
any number of times, and never starts work: it queues, holds, or ends."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.head import Hold, Stop
from perdure.runlog.instances import parse_instance
from perdure.runlog.states import OVER, TERMINAL, RunState
from perdure.v1 import fact_events_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.audit import SWEEPING, Act
from perdure_control_plane.domain.errors import DataCorrupt, RunStateForbids, StoreUnavailable, VersionUnsupported
from perdure_control_plane.domain.ids import ApprovalId, Incarnation, RunId
from perdure_control_plane.domain.inbox import Wait, WaitKind
from perdure_control_plane.domain.leases import Outage, Unheld, overdue
from perdure_control_plane.domain.limits import SECOND, Timing
from perdure_control_plane.domain.origin import SWEEP
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import fold_run
from perdure_control_plane.usecases.overdue_approvals import FollowUp, follow_up
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.stop_run import end_event, stop_now
from perdure_control_plane.usecases.take_over import revocation, take_over

AT_ONCE: Final = 200
"""Runs of one sort that a sweep handles in a transaction; the next sweep goes on."""

PATIENCE: Final = 1000
"""Milliseconds that a sweep waits for a run that another transaction is writing to; the next sweep tries again."""
HURRY: Final = 10
"""The same, once it has waited in vain."""

IN_DOUBT: Final = "EFFECT_IN_DOUBT"


KEEP_OUTAGES: Final = 7 * 24 * 3600 * SECOND
KEEP_EXECUTORS: Final = 24 * 3600 * SECOND
KEEP_REQUESTS: Final = 7 * 24 * 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Held:
    """A run that nothing starts in until a person says so."""

    run_id: RunId
    reason: str
    """EFFECT_IN_DOUBT, or the name of its hold."""
    instances: tuple[str, ...] = ()
    """Attempts whose effects are in doubt."""


@dataclass(slots=True)
class Swept:
    """What a sweep did."""

    outage: Outage | None = None
    requeued: list[RunId] = field(default_factory=list)
    """Runs taken from a holder that was lost or never had them, and queued for another."""
    held: list[Held] = field(default_factory=list)
    """Runs taken from a lost holder that cannot go on by themselves."""
    ended: list[RunId] = field(default_factory=list)
    """Runs that were to stop, or missed their deadline."""
    expired: list[RunId] = field(default_factory=list)
    """Runs for which no signal came in time."""
    followed_up: dict[ApprovalId, FollowUp] = field(default_factory=dict)
    """Requests that nobody has decided in time, and what was done about each."""
    fired: list[RunId] = field(default_factory=list)
    """Runs that waited for a moment which has come."""
    next_at: int = 0
    """When a wait ends next by itself, by the store's clock; 0 where none is known to."""
    swept_at: int = 0
    failed: dict[RunId, Exception] = field(default_factory=dict)
    """Runs that could not be handled, and why; they are as they were, and the others were handled all the same."""


async def sweep(store: Store, timing: Timing) -> Swept:
    """Sweeps once. After a gap in which the store took no writes it notes the outage and lapses nothing."""
    swept = await store.write(lambda tx: _sweep(tx, timing), Order.GUARDED)
    swept.held = [await _with_instances(store, held) for held in swept.held]
    return swept


async def _with_instances(store: Store, held: Held) -> Held:
    """Names the attempts that hold a run, where its log can be folded. Not before it is held: that does not wait."""
    if held.reason != IN_DOUBT:
        return held
    try:
        doubts = (await fold_run(store, held.run_id)).walk.doubts.items()
    except (RunStateForbids, DataCorrupt, VersionUnsupported):
        return held
    return replace(held, instances=tuple(str(where) for where, doubt in doubts if not doubt.resolution_sequence))


def _sweep(tx: Transaction, timing: Timing) -> Swept:
    swept = Swept(swept_at=tx.now)
    before = tx.upkeep.tick(tx.now)
    if before and tx.now - before > timing.lease // 3 + timing.sweep_interval:
        swept.outage = Outage(before, tx.now)
        tx.upkeep.add_outage(swept.outage)
        return swept
    if tx.copy.is_another():
        return swept  # nothing is taken or ended before it is known what this copy may lack
    outages = tx.upkeep.outages_since(tx.now - KEEP_OUTAGES)
    tx.runs.wait_at_most(PATIENCE)
    for run_id, handle in _due(tx, timing, outages, swept):
        error = tx.apart(handle)
        if error is not None:
            swept.failed[run_id] = error
        if isinstance(error, StoreUnavailable) and error.one_row:
            tx.runs.wait_at_most(HURRY)  # whoever stands still with one row may have many
    _forget(tx)
    full = len(swept.fired) + len(swept.expired) + len(swept.followed_up) >= AT_ONCE
    swept.next_at = tx.now if full else tx.inbox.next_deadline(tx.now)
    return swept


def _due(
    tx: Transaction, timing: Timing, outages: list[Outage], swept: Swept
) -> Iterator[tuple[RunId, Callable[[], None]]]:
    """What is overdue, each with what is done about it. Each sort is read when those before it were handled.

    Whoever handles one locks its run, and looks again: others write meanwhile.
    """
    for unheld in tx.queue.unheld(tx.now, AT_ONCE):
        yield unheld.run_id, partial(_requeue_unheld, tx, timing, unheld, outages, swept)
    for run in tx.runs.stopping_since(tx.now - timing.stop_grace, AT_ONCE):
        yield run.run_id, partial(_end_overdue_stop, tx, timing, run, outages, swept)
    for run in tx.runs.past_deadline(tx.now, AT_ONCE):
        yield run.run_id, partial(_stop_past_deadline, tx, run, swept)
    for wait in tx.inbox.waits_past_deadline(tx.now, AT_ONCE):
        yield wait.run_id, partial(_end_wait, tx, wait, outages, swept)


def _requeue_unheld(tx: Transaction, timing: Timing, unheld: Unheld, outages: list[Outage], swept: Swept) -> None:
    run = tx.runs.lock(unheld.run_id)
    tx.executors.keep(Incarnation(run.head.incarnation or ""))
    (found,) = tx.queue.unheld(tx.now, 1, run.run_id) or (None,)
    cause = _revocation_cause(found, tx.now, outages) if found is not None else None
    if cause is not None:
        run = take_over(tx, timing, run, cause)
        if run.head.state in TERMINAL:
            swept.ended.append(run.run_id)
        elif run.head.held:
            reason = IN_DOUBT if run.head.in_doubt else Hold(run.head.holds).name or str(run.head.holds)
            swept.held.append(Held(run.run_id, reason))
        elif run.head.state is RunState.QUEUED:
            swept.requeued.append(run.run_id)


def _revocation_cause(
    unheld: Unheld, now: int, outages: list[Outage]
) -> run_events_pb2.RevocationCause.ValueType | None:
    if unheld.lease_until == 0:
        return run_events_pb2.REVOCATION_CAUSE_LAPSED
    if overdue(unheld.lease_until, unheld.renewed_at, now, outages):
        return run_events_pb2.REVOCATION_CAUSE_LAPSED
    if unheld.ack_until and unheld.ack_until < now:
        return run_events_pb2.REVOCATION_CAUSE_NOT_ACKNOWLEDGED
    return None


def _end_overdue_stop(tx: Transaction, timing: Timing, run: Run, outages: list[Outage], swept: Swept) -> None:
    run = tx.runs.lock(run.run_id)
    stop, since = run.head.stop if run.head.state is RunState.RUNNING else None, run.head.stop_at
    if stop is None or not overdue(since + timing.stop_grace, since, tx.now, outages):
        return
    run = tx.log.append(run, [revocation(run, run_events_pb2.REVOCATION_CAUSE_STOP_OVERDUE)], SWEEP)
    tx.log.append(run, [end_event(stop, "its executor had not stopped within the grace")], SWEEP)
    swept.ended.append(run.run_id)


def _stop_past_deadline(tx: Transaction, run: Run, swept: Swept) -> None:
    run = tx.runs.lock(run.run_id)
    if run.head.state in OVER or run.head.stop is not None or not 0 < run.head.deadline_at <= tx.now:
        return
    if stop_now(tx, run, Stop.DEADLINE, "the run's deadline has passed", SWEEP) is not run:
        tx.audit.record(Act(AuditType.RUN_TIMED_OUT, SWEEPING, run.name))
    swept.ended.append(run.run_id)


def _end_wait(tx: Transaction, wait: Wait, outages: list[Outage], swept: Swept) -> None:
    run = tx.runs.lock(wait.run_id)
    if not tx.inbox.is_open(wait):
        return
    if wait.approval_id is not None:
        followed = follow_up(tx, run, wait.approval_id, outages)
        if followed is not None:
            swept.followed_up[wait.approval_id] = followed
        return
    recorded = fact_events_pb2.FactRecorded(instance=parse_instance(wait.instance).message())
    if wait.kind in (WaitKind.TIMER, WaitKind.BACKOFF):
        # A moment comes when it comes: nobody had less time because the store was away.
        recorded.timer_fired.due_time.FromMicroseconds(wait.deadline_at)
        swept.fired.append(wait.run_id)
    elif not overdue(wait.deadline_at, wait.opened_at, tx.now, outages):
        return
    elif wait.kind is WaitKind.SIGNAL and tx.inbox.count_signals(wait.run_id, wait.signal):
        return  # what it waits for came before; its holder has yet to take it
    else:
        recorded.wait_expired.deadline_time.FromMicroseconds(wait.deadline_at)
        swept.expired.append(wait.run_id)
        tx.audit.record(Act(AuditType.SIGNAL_EXPIRED, SWEEPING, run.name, details={AuditDetail.SIGNAL: wait.signal}))
    tx.log.append(run, [RunEvent(fact_recorded=recorded)], SWEEP)


def _forget(tx: Transaction) -> None:
    tx.upkeep.forget_outages(tx.now - KEEP_OUTAGES)
    tx.executors.forget_gone(tx.now - KEEP_EXECUTORS)
    tx.requests.forget(tx.now - KEEP_REQUESTS)
