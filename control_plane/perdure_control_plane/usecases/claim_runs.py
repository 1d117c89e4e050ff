"""Hands ready runs to an executor."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from perdure.v1 import run_events_pb2
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.ids import Incarnation, LeaseId, RunId, new_lease_id
from perdure_control_plane.domain.leases import Assignment
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.domain.origin import CLAIM
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import FEW, READ_AT_ONCE
from perdure_control_plane.usecases.ports import Order, Store, Transaction

LOGS_BYTES: Final = 256 * 1024
"""Bytes of log that a claim reads itself, for all its runs; it holds up every other write while it does."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that was handed out, under this number on the stream."""

    number: int
    run: Run
    lease_id: LeaseId
    log: list[RecordedEvent]
    """Its log from the first event on, as far as LOGS_BYTES reached; the rest is read when the claim is committed."""


@dataclass(frozen=True, slots=True)
class HandedOut:
    """What a claim came to."""

    claimed: list[Claimed]
    again_after: int = 0
    """Microseconds until a rate, which is used up, lets another run be handed out; 0 where none keeps any back."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who takes runs, how many, and the number its next assignment has."""

    incarnation: Incarnation
    stream_number: int
    limit: int
    next_number: int
    generation: int


async def claim_runs(store: Store, timing: Timing, claim: Claim) -> HandedOut:
    """Leases as many ready runs as asked for and as limits leave room for, in the queue's order.

    Nothing is handed to an executor whose lease has run out or that has a newer stream. Nor is anything from a store that
    went back, before its leases are void and its runs are held: what looks as if nobody had begun it may be done.
    """

    def body(tx: Transaction) -> HandedOut:
        live = tx.executors.live(claim.incarnation, claim.stream_number, tx.now)
        if live is None or tx.copy.is_another():
            return HandedOut([])
        executor, limited = live
        servable = tx.ready.servable(executor, claim.limit, tx.now, limited)
        used_up = [at for queue, at in limited.items() if at > tx.now and queue in executor.queues]
        again_at = min(filter(None, (*used_up, servable.again_at)), default=0)
        leased = tx.log.append_each([(run, [_grant(claim, executor, run)]) for run in servable.runs], CLAIM)
        ack_until = tx.now + timing.assignment_ack
        numbered = list(enumerate(leased, claim.next_number))
        tx.queue.assign(
            Assignment(run.run_id, _lease(run), claim.incarnation, claim.stream_number, number, ack_until)
            for number, run in numbered
        )
        # Of a long log only what is after its snapshot is sent, and that is found when the claim is committed.
        short = [run.run_id for run in leased if run.head.last_sequence <= FEW]
        logs = tx.events.beginnings(short, limit=READ_AT_ONCE, max_bytes=LOGS_BYTES)
        claimed = [Claimed(number, run, _lease(run), logs.get(run.run_id, [])) for number, run in numbered]
        return HandedOut(claimed, max(0, again_at - tx.now))

    return await store.write(body, Order.GUARDED)


async def acknowledge_assignments(store: Store, leases: Iterable[tuple[RunId, LeaseId]]) -> None:
    """Notes that an executor has what it was handed. A lease that is gone meanwhile is passed over."""
    wanted = tuple(leases)
    await store.write(lambda tx: tx.queue.acknowledge(wanted), Order.GUARDED)


def _grant(claim: Claim, executor: Executor, run: Run) -> RunEvent:
    grant = run_events_pb2.LeaseGranted(
        lease_id=new_lease_id(),
        epoch=run.head.epoch + 1,
        executor_id=executor.executor_id,
        incarnation=executor.incarnation,
        generation=claim.generation,
    )
    return RunEvent(lease_granted=grant)


def _lease(run: Run) -> LeaseId:
    return LeaseId(run.head.lease_id or "")
