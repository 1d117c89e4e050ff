"""Limits of queues: runs at work, a rate and runs that wait, the same for all control planes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import QueueFull, RequestIdReused
from perdure_control_plane.domain.explanation import Limit, LimitReached
from perdure_control_plane.domain.ids import Principal, RunId
from perdure_control_plane.domain.limits import QUEUE_POLL, SECOND
from perdure_control_plane.domain.queries import RunCondition, RunFilter
from perdure_control_plane.domain.queue import Queue
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.usecases.claim_runs import Claim, claim_runs
from perdure_control_plane.usecases.explain_run import explain_run
from perdure_control_plane.usecases.update_queue import QueueUpdate, update_queue
from tests.conformance.stores import ON_POSTGRES
from tests.conformance.test_concurrency_keys import keyed

ADA = Caller(Principal("ada"), authenticated=True)
BOTH = ("mail", "default")


async def limit(house: Any, caller: Caller = OPEN_CALLER, **limits: Any) -> Queue:
    asked = {"queue": "mail", "max_at_work": None, "max_queued": None, "rate": None, "reason": "", "request_id": ""}
    return await update_queue(house.store, caller, QueueUpdate(**{**asked, **limits}))


async def mailed(house: Any, count: int, **fields: Any) -> list[RunId]:
    return [await house.start(queue="mail", **fields) for _ in range(count)]


async def taken(house: Any, name: str = "x", most: int = 10) -> list[RunId]:
    executor = await house.connect(name, queues=BOTH)
    return [holder.run_id for holder in await house.claim(executor, most)]


async def test_no_more_runs_of_a_queue_are_at_work_than_it_may_have(house: Any) -> None:
    await limit(house, max_at_work=2)
    waiting = await mailed(house, 40)
    free = await house.start()
    executor = await house.connect(queues=BOTH)

    holders = {holder.run_id: holder for holder in await house.claim(executor)}
    await holders[waiting[0]].send(*holders[waiting[0]].asks("a"), holders[waiting[0]].paused())

    assert list(holders) == [*waiting[:2], free]
    assert await taken(house) == [waiting[2]]
    assert await taken(house) == []


async def test_a_rate_hands_out_as_many_at_once_and_then_one_each_part_of_its_time(house: Any, clock: Any) -> None:
    await limit(house, rate=(2, 10 * SECOND))
    first, second, third, fourth, fifth = await mailed(house, 5)

    assert await taken(house) == [first, second]
    clock.advance(4.9)
    assert await taken(house) == []
    clock.advance(0.2)
    assert await taken(house) == [third]
    clock.advance(3600)
    assert await taken(house) == [fourth, fifth]


async def test_whoever_asks_for_runs_is_told_when_a_rate_gives_the_next(house: Any, clock: Any) -> None:
    await limit(house, rate=(1, 10 * SECOND))
    await mailed(house, 2)
    after = []
    for queues in (BOTH, BOTH, ("default",)):
        executor = await house.connect(queues=queues)
        claim = Claim(executor.incarnation, executor.stream_number, 5, 1, 1)
        after.append((await claim_runs(house.store, house.timing, claim)).again_after)
        clock.advance(1)

    assert after == [10 * SECOND, 9 * SECOND, 0]


async def test_a_run_needs_room_in_its_queue_and_a_place_of_its_key(house: Any) -> None:
    await limit(house, max_at_work=2)
    manifest, given = keyed(1), b'{"environment": "prod"}'
    first, _ = await mailed(house, 2, manifest=manifest, input=given)
    plain, _ = await mailed(house, 2)

    assert await taken(house) == [first, plain]


async def test_a_limit_that_is_taken_away_keeps_nobody(house: Any) -> None:
    await limit(house, max_at_work=1, rate=(1, 3600 * SECOND))
    runs = await mailed(house, 3)
    assert await taken(house) == runs[:1]

    await limit(house, max_at_work=0, rate=(0, 0))

    assert await taken(house) == runs[1:]


async def test_a_start_is_refused_while_a_queue_has_as_many_ready_runs_as_it_may(house: Any) -> None:
    await limit(house, max_queued=2)
    await mailed(house, 2)
    await house.start()

    with pytest.raises(QueueFull) as refused:
        await mailed(house, 1)

    assert refused.value.metadata == {"queue": "mail", "limit": "2", "count": "2"}
    await taken(house, most=1)
    assert await mailed(house, 1)


async def test_a_queue_says_what_is_in_it_and_who_set_its_limits(house: Any, clock: Any) -> None:
    await limit(house, ADA, max_at_work=1, rate=(5, 60 * SECOND), reason="the relay is slow", request_id="r1")
    await mailed(house, 3)
    await taken(house)

    queue = await limit(house, ADA, max_at_work=1, rate=(5, 60 * SECOND), reason="the relay is slow", request_id="r1")
    listed = await house.store.read(lambda tx: tx.queues.page("", 10))

    assert listed == [queue]
    assert (queue.queued, queue.at_work) == (2, 1)
    assert (queue.limits.updated_by, queue.limits.reason) == ("ada", "the relay is slow")
    with pytest.raises(RequestIdReused):
        await limit(house, ADA, max_at_work=2, request_id="r1")
    assert (await limit(house, max_queued=9)).limits.max_at_work == 1


async def test_what_keeps_a_run_is_named_with_who_has_the_places_and_the_next_look(house: Any, clock: Any) -> None:
    await limit(house, max_at_work=1, rate=(1, 60 * SECOND))
    given = b'{"environment": "prod"}'
    first, second = await mailed(house, 2, manifest=keyed(1), input=given)
    ready_at = (await house.run(second)).identity.created_at
    await taken(house)

    explained = await explain_run(house.store, house.timing, second)

    now = explained.read_at
    key = LimitReached(Limit.CONCURRENCY_KEY, "deploy prod", 1, ready_at, 1, (first,))
    at_work = LimitReached(Limit.QUEUE_AT_WORK, "mail", 1, ready_at, 1, (first,))
    rate = LimitReached(Limit.QUEUE_RATE, "mail", 1, ready_at, period=60 * SECOND)
    told = [(reason.why, reason.next_check_at) for reason in explained.reasons]
    assert told[:3] == [(key, now + QUEUE_POLL), (at_work, now + QUEUE_POLL), (rate, now + 60 * SECOND)]
    assert len(told) == 4


async def test_runs_that_a_limit_keeps_are_listed(house: Any, clock: Any) -> None:
    given = b'{"environment": "prod"}'
    placed, kept = [await house.start(keyed(1), input=given) for _ in range(2)]
    await limit(house, rate=(1, 60 * SECOND))
    sent, unsent = await mailed(house, 2)
    free = await house.start()

    async def listed() -> set[RunId]:
        wanted = RunFilter(conditions=(RunCondition.LIMITED,))
        return {run.run_id for run in await house.store.read(lambda tx: tx.runs.page(wanted, None, 9, tx.now))}

    assert await listed() == set()
    holders = {holder.run_id: holder for holder in await house.claim(await house.connect(queues=BOTH))}
    assert set(holders) == {placed, sent, free}
    assert await listed() == {kept, unsent}
    clock.advance(60)
    await holders[placed].send(holders[placed].ended())
    assert await listed() == set()


@pytest.fixture
async def other(house: Any, clock: Any) -> AsyncIterator[Any]:
    """The same database as another control plane sees it."""
    store = PostgresStore(house.store.url, clock)
    await store.open()
    yield type(house)(store)
    await store.close()


@ON_POSTGRES
async def test_what_one_control_plane_hands_out_counts_for_the_other(house: Any, other: Any, clock: Any) -> None:
    await limit(house, rate=(2, 10 * SECOND))
    runs = await mailed(house, 4)

    assert await taken(house, "x", 1) == runs[:1]
    assert await taken(other, "y") == runs[1:2]
    assert await taken(house, "x") == []
    clock.advance(5)
    assert await taken(other, "y") == runs[2:3]
    await limit(other, rate=(0, 0), max_at_work=3)
    assert await taken(house, "x") == []
