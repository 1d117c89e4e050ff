"""Limits that keep a ready run from being handed out."""

from collections.abc import Iterator
from typing import Final

from perdure.runlog.places import Place
from perdure_control_plane.domain.explanation import Limit, LimitReached, Reason
from perdure_control_plane.domain.limits import QUEUE_POLL
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Transaction

NAMED: Final = 5
"""Most runs that are named of those that a limit counts."""


def reached_limits(tx: Transaction, run: Run, ready_at: int) -> Iterator[Reason]:
    """Each that is reached."""
    looks_at = tx.now + QUEUE_POLL
    key, most = run.identity.concurrency_key, run.identity.concurrency_limit
    if run.head.place is Place.WANTED:
        held = tx.places.held([key])[key]
        if held >= most:
            runs = tuple(tx.places.holders(key, NAMED))
            yield Reason(LimitReached(Limit.CONCURRENCY_KEY, key, most, ready_at, held, runs), looks_at)
    queue = run.identity.queue
    limits = tx.queues.limits_of(queue)
    if limits.max_at_work:
        at_work = tx.queues.at_work([queue]).get(queue, 0)
        if at_work >= limits.max_at_work:
            runs = tuple(tx.queues.first_at_work(queue, NAMED))
            reached = LimitReached(Limit.QUEUE_AT_WORK, queue, limits.max_at_work, ready_at, at_work, runs)
            yield Reason(reached, looks_at)
    if limits.rate_runs and limits.next_at > tx.now:
        reached = LimitReached(Limit.QUEUE_RATE, queue, limits.rate_runs, ready_at, period=limits.rate_period)
        yield Reason(reached, limits.next_at)
