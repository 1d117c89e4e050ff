"""The time between a failed attempt and the next: long, it is a wait of the run, so that nobody holds it meanwhile."""

from typing import Final

from perdure.runlog.intents import Record, Start
from perdure.runlog.starting import begin_again
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2
from perdure.v1.run_events_pb2 import RunEvent

LONG_BACKOFF: Final = 5.0
"""Seconds from which a back-off is a wait. It says what a log means, as every rule of the interpreter does."""


def after_backoff(walk: Walk, place: str, retry: Start) -> Start | Record | None:
    """The next attempt; or the beginning of a wait for it, or of another attempt at a map; or None while that waits."""
    if place in walk.maps:
        return begin_again(walk, place)
    if retry.delay < LONG_BACKOFF:
        return retry
    where = walk.instance(place)
    wait = walk.waits.get(where)
    if wait is None:
        opened = fact_events_pb2.WaitOpened(instance=where.message(), backoff=fact_events_pb2.BackoffWait())
        opened.timeout.FromMicroseconds(round(retry.delay * 1e6))
        return Record((RunEvent(wait_opened=opened),))
    if not wait.fact_sequence or not walk.facts[wait.fact_sequence].taken:
        return None
    retry.delay = 0.0
    return retry


def backs_off(walk: Walk, place: str) -> bool:
    """Whether a place waits to be tried again, and its time has not come."""
    wait = walk.waits.get(walk.instance(place))
    return wait is not None and wait.opened.HasField("backoff") and not wait.fact_sequence
