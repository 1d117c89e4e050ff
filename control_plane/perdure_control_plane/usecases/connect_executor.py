"""An executor opens a stream, keeps its lease, and says goodbye."""

from dataclasses import dataclass, replace

from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.ids import Incarnation, LeaseId, RunId
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.take_over import take_back


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run that an executor says it holds."""

    run_id: RunId
    lease_id: LeaseId


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a heartbeat came to. `strangers` are runs the executor holds that it was not given, or no longer has;
    `facts` the last fact of each run that it does hold."""

    strangers: tuple[HeldRun, ...]
    facts: tuple[tuple[HeldRun, int], ...]


async def connect_executor(store: Store, timing: Timing, executor: Executor) -> int:
    """Notes the executor, with a lease from now, and returns the number of its new stream: older ones end.

    Raises StoreUnavailable where the store went back, until its leases are void.
    """

    def body(tx: Transaction) -> int:
        tx.copy.check_is_the_same()
        return tx.executors.say_hello(replace(executor, lease_until=tx.now + timing.lease, renewed_at=tx.now))

    return await store.write(body, Order.FIRST)


async def renew_lease(
    store: Store,
    timing: Timing,
    incarnation: Incarnation,
    stream_number: int,
    last_assignment: int,
    held: tuple[HeldRun, ...],
) -> Renewal | None:
    """Renews the lease and compares who holds what. None where the stream is no longer the executor's latest.

    Confirmed runs that the executor does not hold are queued again. Raises StoreUnavailable where the store went back,
    until its leases are void.
    """

    def body(tx: Transaction) -> Renewal | None:
        tx.copy.check_is_the_same()
        if not tx.executors.renew(incarnation, stream_number, tx.now + timing.lease, tx.now):
            return None
        assigned = tx.queue.of_executor(incarnation)
        given = {HeldRun(a.run_id, a.lease_id): fact for a, fact in assigned}
        claimed = set(held)
        for assignment, _ in assigned:
            seen = assignment.stream_number < stream_number or assignment.number <= last_assignment
            holds = HeldRun(assignment.run_id, assignment.lease_id) in claimed
            if assignment.ack_until == 0 and seen and not holds:
                take_back(tx, timing, assignment.run_id, assignment.lease_id)
        known = tuple((run, given[run]) for run in held if run in given)
        return Renewal(tuple(run for run in held if run not in given), known)

    return await store.write(body, Order.FIRST)


async def disconnect_executor(store: Store, incarnation: Incarnation, stream_number: int) -> None:
    """Ends the lease of an executor that leaves for good, unless it has come back on another stream."""

    def body(tx: Transaction) -> None:
        if tx.executors.renew(incarnation, stream_number, tx.now, tx.now):
            tx.executors.say_goodbye(incarnation, tx.now)

    await store.write(body)
