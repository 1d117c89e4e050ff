"""Says what a run does, or why it does not go on: from its row, its log, the queue, and the executors that live."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from perdure.runlog.backoffs import LONG_BACKOFF
from perdure.runlog.instances import Instance, parse_instance
from perdure.runlog.node_walk import NodeWalk, Phase
from perdure.runlog.recovery import effects_in_doubt
from perdure.runlog.states import OVER, RunState
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.domain.explanation import (
    AwaitedChild,
    Ended,
    Explanation,
    NextAttempt,
    PendingStop,
    Place,
    Queued,
    Reason,
    UnderWay,
    queue_reason,
)
from perdure_control_plane.domain.ids import Incarnation, RunId
from perdure_control_plane.domain.inbox import Wait, WaitKind
from perdure_control_plane.domain.limits import QUEUE_POLL, SECOND, Timing
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import FoldedRun, fold
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.readings.queue_reasons import live_executors
from perdure_control_plane.usecases.readings.reached_limits import reached_limits
from perdure_control_plane.usecases.readings.standing_holds import standing_holds
from perdure_control_plane.usecases.readings.unresolved_effects import unresolved_effects

MOST_PARTS: Final = 5
"""Parts of a run whose reasons are told with its own."""


async def explain_run(store: Store, timing: Timing, run_id: RunId) -> Explanation:
    """Every reason that there is, the strongest first. Raises NotFound, DataCorrupt, VersionUnsupported."""

    def body(tx: Transaction) -> Explanation:
        run = tx.runs.get(run_id)
        return Explanation(run, tuple(_reasons(tx, timing, run)), tx.now)

    return await store.read(body)


def _reasons(tx: Transaction, timing: Timing, run: Run) -> Iterator[Reason]:
    head = run.head
    over = head.state in OVER
    if over:
        yield Reason(Ended())
    if head.stop is not None:
        yield _pending_stop(tx, timing, run)
    at_work = head.state is RunState.RUNNING
    folded = fold(tx, run.run_id) if at_work or head.in_doubt else None
    if folded is not None:
        yield from _doubts(tx, timing, folded)
    if over:
        return
    yield from (Reason(hold) for hold in standing_holds(tx, run))
    waits, parts = tx.inbox.open_waits([run.run_id]), list[Run]()
    if folded is None and any(wait.kind is WaitKind.BACKOFF for wait in waits):
        folded = fold(tx, run.run_id)
    for wait in waits:
        why = _awaited(tx, folded, wait)
        yield Reason(why, wait.deadline_at)
        if isinstance(why, AwaitedChild) and why.run.identity.part_instance:
            parts.append(why.run)
    if head.state is RunState.QUEUED:
        place = tx.queue.place(run.run_id)
        yield from reached_limits(tx, run, place.ready_at)
        yield _queued(tx, run, place)
    if folded is not None and at_work:
        yield from _at_work(tx, folded)
    for part in parts[:MOST_PARTS]:
        # What a part waits for is what its run waits for: nobody has asked for two runs.
        yield from (replace(reason, part=reason.part or part) for reason in _reasons(tx, timing, part))


def _pending_stop(tx: Transaction, timing: Timing, run: Run) -> Reason:
    asked = _last(tx, run, "stop_requested")
    assert run.head.stop is not None
    stop = PendingStop(run.head.stop, run.head.stop_at, asked.outside.actor, asked.event.stop_requested.reason)
    return Reason(stop, run.head.stop_at + timing.stop_grace)


def _doubts(tx: Transaction, timing: Timing, folded: FoldedRun) -> Iterator[Reason]:
    for unresolved in unresolved_effects(tx, timing, folded, effects_in_doubt(folded.walk)):
        yield Reason(unresolved, unresolved.retry_at if unresolved.retry_at > tx.now else 0)


def _queued(tx: Transaction, run: Run, place: Place) -> Reason:
    why = queue_reason(run.identity, place, live_executors(tx))
    return Reason(why, tx.now + QUEUE_POLL if isinstance(why, Queued) else 0)


def _awaited(tx: Transaction, folded: FoldedRun | None, wait: Wait) -> Wait | AwaitedChild | NextAttempt:
    if wait.child_run_id is not None:
        return AwaitedChild(wait, tx.runs.get(wait.child_run_id))
    if wait.kind is not WaitKind.BACKOFF:
        return wait
    assert folded is not None
    where = parse_instance(wait.instance)
    return _next_attempt(tx, folded.run, where, folded.walk.nodes[where.place])


def _at_work(tx: Transaction, folded: FoldedRun) -> Iterator[Reason]:
    run, walk = folded.run, folded.walk
    granted_at = _last(tx, run, "lease_granted").stored_time.ToMicroseconds()
    attempts = []
    for place in sorted(walk.active, key=walk.instance):
        state, where = walk.nodes[place], walk.instance(place)
        if state.phase is Phase.STARTED:
            attempts.append((where, _time_of(tx, run, state)))
        elif _is_tried_again(state, run):
            # Whoever takes a run over lets the whole time go by once more.
            attempt = _next_attempt(tx, run, where, state)
            yield Reason(attempt, max(attempt.failed_at, granted_at) + round(state.retry_delay * SECOND))
    lease_until = tx.executors.lease_until(Incarnation(run.head.incarnation or ""))
    yield Reason(UnderWay(run.head.executor_id or "", granted_at, tuple(attempts)), lease_until)


def _is_tried_again(state: NodeWalk, run: Run) -> bool:
    """Whether the run's holder waits out a short back-off; a long one is a wait of the run."""
    backing_off = state.phase is Phase.FAILED and 0 < state.retry_delay < LONG_BACKOFF
    return backing_off and not run.head.held and run.head.stop is None


def _next_attempt(tx: Transaction, run: Run, where: Instance, state: NodeWalk) -> NextAttempt:
    """The one that comes after an attempt which failed."""
    following = Instance(where.path, where.attempt + 1)
    return NextAttempt(following, _time_of(tx, run, state), state.cause, state.message)


def _time_of(tx: Transaction, run: Run, state: NodeWalk) -> int:
    """When an attempt last began or ended."""
    return tx.events.at(run.run_id, state.since).stored_time.ToMicroseconds()


def _last(tx: Transaction, run: Run, kind: str) -> RecordedEvent:
    found = tx.events.last_of_kind_before(run.run_id, kind, run.head.last_sequence + 1)
    if found is None:
        raise DataCorrupt(run.name, f"it is where only a {kind} leads, and has none")
    return found
