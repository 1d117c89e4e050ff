"""Delivers what runs have to tell each other. Each message is taken away in the transaction of what comes of it, so any
number of servers may deliver at once, and whatever is left by one that dies is delivered by the next."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.head import Stop
from perdure.runlog.states import OVER, RunState
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.audit import TELLING, Act
from perdure_control_plane.domain.errors import Conflict, DataCorrupt, NotFound, PerdureError, StoreUnavailable
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.inbox import WaitState
from perdure_control_plane.domain.origin import MESSAGE
from perdure_control_plane.domain.run import Run
from perdure_control_plane.domain.run_message import MessageKind, RunMessage
from perdure_control_plane.usecases.continue_run import continuing_events
from perdure_control_plane.usecases.fold_run import FoldedRun, fold_run
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.readings.end_of_child import end_of_child
from perdure_control_plane.usecases.stop_run import STOPPED, stop_now

AT_ONCE: Final = 500
"""Messages looked at in one go; the next goes on."""

TOGETHER: Final = 32
"""Runs told at the same time."""

_BEYOND_CANCEL: Final = OVER - {RunState.INTERRUPTED}
"""States in which a child is told of no stop: its parent knows of its end, or does not wait for it."""


@dataclass(slots=True)
class Delivered:
    """What a delivery came to."""

    told: int = 0
    """Messages delivered."""
    failed: dict[RunId, Exception] = field(default_factory=dict)
    """Runs that could not be told, and why; what they have to be told is kept."""


async def deliver_messages(store: Store) -> Delivered:
    """Tells every run what there is to tell it now. What has to wait, for a run that is still stopping, is left.

    Raises StoreUnavailable; what was to be told then is told by the next delivery.
    """
    delivered = Delivered()
    targets = await store.read(lambda tx: tx.messages.targets(AT_ONCE))
    for begin in range(0, len(targets), TOGETHER):
        together = targets[begin : begin + TOGETHER]
        told = await asyncio.gather(*(_deliver(store, target) for target in together), return_exceptions=True)
        for target, outcome in zip(together, told, strict=True):
            if isinstance(outcome, int):
                delivered.told += outcome
            elif isinstance(outcome, StoreUnavailable):
                raise outcome
            elif isinstance(outcome, PerdureError) and not isinstance(outcome, Conflict):
                delivered.failed[target] = outcome
            elif not isinstance(outcome, Conflict):  # a run that moved meanwhile is told the next time
                raise outcome
    return delivered


async def _deliver(store: Store, target: RunId) -> int:
    try:
        run, due = await store.read(lambda tx: (tx.runs.get(target), tx.messages.to_run(target)))
        goes_on = run.head.state is RunState.INTERRUPTED and any(one.kind is MessageKind.CONTINUE for one in due)
        folded = await fold_run(store, target) if goes_on else None
        return await store.write(lambda tx: _tell(tx, target, folded), Order.GUARDED)
    except NotFound:
        # Where another copy of the store has taken this one's place meanwhile, there is nobody and nothing to tell.
        if await store.read(lambda tx: tx.messages.to_run(target)):
            raise
        return 0


def _tell(tx: Transaction, target: RunId, folded: FoldedRun | None) -> int:
    run, told = tx.runs.lock(target), 0
    for message in tx.messages.to_run(target):
        if message.kind is MessageKind.CONTINUE and not _may_continue(run, folded):
            break
        if tx.messages.take(message):
            run, told = _take_in(tx, run, message, folded), told + 1
    return told


def _may_continue(run: Run, folded: FoldedRun | None) -> bool:
    """Whether a run is past the end that a continue answers, or has none to come."""
    if run.head.state is RunState.INTERRUPTED:
        return folded is not None and folded.run.head.last_sequence == run.head.last_sequence
    return run.head.stop is None


def _take_in(tx: Transaction, run: Run, message: RunMessage, folded: FoldedRun | None) -> Run:
    """The run after a message; as it was where nothing follows from it any more."""
    match message.kind:
        case MessageKind.ENDED:
            return tx.log.append(run, _end_of_child(tx, run, message), MESSAGE)
        case MessageKind.CANCEL if run.head.state not in _BEYOND_CANCEL:
            return _stop(tx, run, message, Stop.CANCEL)
        case MessageKind.INTERRUPT if run.head.state not in OVER and not run.head.stop:
            return _stop(tx, run, message, Stop.INTERRUPT)
        case MessageKind.CONTINUE if folded is not None and run.head.state is RunState.INTERRUPTED:
            tx.audit.record(Act(AuditType.RUN_CONTINUED, TELLING, run.name, details=_because_of(message)))
            return tx.log.append(run, continuing_events(tx, folded), MESSAGE)
    return run


def _stop(tx: Transaction, run: Run, message: RunMessage, stop: Stop) -> Run:
    after = stop_now(tx, run, stop, f"runs/{message.source}, which started it, stops", MESSAGE)
    if after is not run:
        tx.audit.record(Act(STOPPED[stop], TELLING, run.name, details=_because_of(message)))
    return after


def _because_of(message: RunMessage) -> dict[AuditDetail, str]:
    return {AuditDetail.RUN: f"runs/{message.source}"}


def _end_of_child(tx: Transaction, parent: Run, message: RunMessage) -> list[RunEvent]:
    wait = tx.inbox.wait_for_child(parent.run_id, message.source)
    if wait is None:
        raise DataCorrupt(parent.name, f"it has never waited for runs/{message.source}")
    where, state = wait
    return end_of_child(tx, where, message.source, message.source_sequence, stale=state is not WaitState.OPEN)
