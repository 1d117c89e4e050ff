"""Hands ready runs to an executor."""

from collections.abc import Iterable
from dataclasses import dataclass

from perdure.v1 import run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.ids import Incarnation, LeaseId, RunId, new_lease_id
from perdure_control_plane.domain.leases import Assignment
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.domain.origin import CLAIM
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Store, Transaction


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that was handed out, under this number on the stream."""

    number: int
    run: Run
    lease_id: LeaseId


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
        runs = tx.queue.servable(executor, claim.limit)
        return [
            _lease(tx, timing, claim, executor, run_id, claim.next_number + index) for index, run_id in enumerate(runs)
        ]

    return await store.write(body)


async def acknowledge_assignments(store: Store, leases: Iterable[tuple[RunId, LeaseId]]) -> None:
    """Notes that an executor has what it was handed. A lease that is gone meanwhile is passed over."""
    wanted = tuple(leases)
    await store.write(lambda tx: tx.queue.acknowledge(wanted))


def _lease(tx: Transaction, timing: Timing, claim: Claim, executor: Executor, run_id: RunId, number: int) -> Claimed:
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
    return Claimed(number, run, lease_id)
