"""Hands ready runs to an executor."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from perdure.v1 import run_events_pb2
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.ids import Incarnation, LeaseId, RunId, new_lease_id
from perdure_control_plane.domain.leases import Assignment
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.domain.origin import CLAIM
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import READ_AT_ONCE
from perdure_control_plane.usecases.ports import Store, Transaction

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
class Claim:
    """Who takes runs, how many, and the number its next assignment has."""

    incarnation: Incarnation
    stream_number: int
    limit: int
    next_number: int
    generation: int


async def claim_runs(store: Store, timing: Timing, claim: Claim) -> list[Claimed]:
    """Leases as many ready runs as asked for, in the queue's order.

    Nothing is handed to an executor whose lease has run out or that has a newer stream.
    """

    def body(tx: Transaction) -> list[Claimed]:
        executor = tx.executors.live(claim.incarnation, claim.stream_number, tx.now)
        if executor is None:
            return []
        claimed: list[Claimed] = []
        room = LOGS_BYTES
        for run_id in tx.queue.servable(executor, claim.limit):
            taken = _lease(tx, timing, claim, executor, run_id, claim.next_number + len(claimed), room)
            room -= sum(recorded.ByteSize() for recorded in taken.log)
            claimed.append(taken)
        return claimed

    return await store.write(body)


async def acknowledge_assignments(store: Store, leases: Iterable[tuple[RunId, LeaseId]]) -> None:
    """Notes that an executor has what it was handed. A lease that is gone meanwhile is passed over."""
    wanted = tuple(leases)
    await store.write(lambda tx: tx.queue.acknowledge(wanted))


def _lease(
    tx: Transaction, timing: Timing, claim: Claim, executor: Executor, run_id: RunId, number: int, room: int
) -> Claimed:
    run = tx.runs.get(run_id)
    lease_id = new_lease_id()
    grant = run_events_pb2.LeaseGranted(
        lease_id=lease_id,
        epoch=run.head.epoch + 1,
        executor_id=executor.executor_id,
        incarnation=executor.incarnation,
        generation=claim.generation,
    )
    run = tx.log.append(run, [RunEvent(lease_granted=grant)], CLAIM)
    ack_until = tx.now + timing.assignment_ack
    tx.queue.assign(Assignment(run_id, lease_id, claim.incarnation, claim.stream_number, number, ack_until))
    return Claimed(number, run, lease_id, _beginning(tx, run_id, room) if room > 0 else [])


def _beginning(tx: Transaction, run_id: RunId, room: int) -> list[RecordedEvent]:
    try:
        return tx.events.after(run_id, 0, limit=READ_AT_ONCE, max_bytes=room)
    except DataCorrupt:
        # Raised here, it would keep the run at the head of the queue for ever. It is raised where the rest is read.
        return []
