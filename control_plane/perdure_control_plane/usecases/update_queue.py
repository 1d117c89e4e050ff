"""Sets limits of a queue."""

from dataclasses import dataclass, replace

from perdure.audit.events import AuditType
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.queue import Queue
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class QueueUpdate:
    """What is to be set of a queue; None stays as it is, 0 takes a limit away. `rate` is runs and a period."""

    queue: str
    max_at_work: int | None
    max_queued: int | None
    rate: tuple[int, int] | None
    reason: str
    request_id: str


async def update_queue(store: Store, caller: Caller, asked: QueueUpdate) -> Queue:
    """Sets the limits and returns the queue as it is then. Raises RequestIdReused."""

    def body(tx: Transaction) -> Queue:
        content = (asked.max_at_work, asked.max_queued, asked.rate, asked.reason)
        name = f"queues/{asked.queue}"
        if not is_repetition(tx, caller, asked.request_id, "UpdateQueue", name, *content):
            before = tx.queues.limits_of(asked.queue)
            after = replace(before, updated_at=tx.now, updated_by=caller.principal, reason=asked.reason)
            if asked.max_at_work is not None:
                after = replace(after, max_at_work=asked.max_at_work)
            if asked.max_queued is not None:
                after = replace(after, max_queued=asked.max_queued)
            if asked.rate is not None and asked.rate != (before.rate_runs, before.rate_period):
                runs, period = asked.rate
                after = replace(after, rate_runs=runs, rate_period=period, next_at=0)
            tx.queues.save(after)
            tx.audit.record(Act(AuditType.QUEUE_UPDATED, caller, name, asked.request_id, of_reason(asked.reason)))
        return tx.queues.each([asked.queue])[0]

    return await store.write(body)
