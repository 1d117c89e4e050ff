"""Runs of one key: how many of them go on at once, what keeps a place, and what gives it back."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.runlog.head import Stop
from perdure.runlog.states import RunState
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import ConcurrencyLimitReached, FieldInvalid
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.usecases.continue_run import Continuing, continue_run
from perdure_control_plane.usecases.stop_run import stop_run
from tests.conformance.stores import ON_POSTGRES

KEYED = """
playbook_id: {id}
version: 1.0.0
title: Deploy
objective: One at a time in each environment
concurrency: {{key: "deploy {{{{ inputs.environment }}}}", limit: {limit}, at_limit: {at_limit}}}
nodes:
  - {{id: gate, type: approval, prompt: go on?, timeout_seconds: 60}}
  - {{id: after, type: function, function: noop}}
"""


def keyed(limit: int = 1, name: str = "deploy", at_limit: str = "queue") -> str:
    return KEYED.format(id=name, limit=limit, at_limit=at_limit)


async def start(house: Any, environment: object, manifest: str = "", **fields: Any) -> RunId:
    return await house.start(manifest or keyed(), input=json.dumps({"environment": environment}).encode(), **fields)


async def claimed(house: Any, name: str = "x", limit: int = 10) -> dict[RunId, Any]:
    """What an executor is handed, by run."""
    return {holder.run_id: holder for holder in await house.claim(await house.connect(name), limit)}


async def test_of_a_key_no_more_runs_are_handed_out_than_its_limit_and_the_next_when_one_has_ended(house: Any) -> None:
    first, second, third = [await start(house, "prod", keyed(2)) for _ in range(3)]

    taken = await claimed(house)
    later = await claimed(house)
    await taken[first].send(taken[first].ended())

    assert (list(taken), list(later)) == ([first, second], [])
    assert list(await claimed(house)) == [third]


async def test_other_keys_and_runs_without_one_do_not_wait(house: Any) -> None:
    for _ in range(30):
        await start(house, "prod", priority=1)
    free = [await start(house, "test"), await house.start()]

    taken = await claimed(house, limit=3)

    assert set(free) < set(taken)
    assert len(taken) == 3


async def test_a_key_is_shared_by_all_playbooks_and_each_run_looks_at_its_own_limit(house: Any) -> None:
    alone = await start(house, "prod", keyed(1))
    beside = await start(house, "prod", keyed(2, "rollback"))
    behind = await start(house, "prod", keyed(1))

    taken = await claimed(house)
    await taken[alone].send(taken[alone].ended())

    assert list(taken) == [alone, beside]
    assert await claimed(house) == {}
    await taken[beside].send(taken[beside].ended())
    assert list(await claimed(house)) == [behind]


async def test_a_run_keeps_its_place_while_it_waits_for_a_person(house: Any) -> None:
    first, second = await start(house, "prod"), await start(house, "prod")
    holder = (await claimed(house))[first]

    await holder.send(*holder.asks("gate"), holder.paused())

    assert (await house.run(first)).head.state is RunState.PAUSED
    assert await claimed(house) == {}
    await stop_run(house.store, OPEN_CALLER, first, Stop.CANCEL, "", "")
    assert list(await claimed(house)) == [second]


async def test_a_run_whose_executor_is_lost_keeps_its_place_and_is_handed_out_again(house: Any, clock: Any) -> None:
    first, second = await start(house, "prod"), await start(house, "prod")
    lost = (await claimed(house))[first]
    for _ in range(20):
        clock.advance(house.timing.lease / 8e6)
        await house.sweep()

    taken = await claimed(house, "y")

    assert list(taken) == [first]
    await lost.send(lost.ended())
    assert await claimed(house, "y") == {}
    await taken[first].send(taken[first].ended("FAILED"))
    assert list(await claimed(house, "y")) == [second]


async def test_a_run_that_is_continued_wants_a_place_anew(house: Any) -> None:
    first, second = await start(house, "prod"), await start(house, "prod")
    await stop_run(house.store, OPEN_CALLER, first, Stop.INTERRUPT, "", "")
    holder = (await claimed(house))[second]
    ended = (await house.run(first)).head.ended_sequence
    await continue_run(house.store, OPEN_CALLER, Continuing(first, ended, "", 0, 0, "", ""))

    assert await claimed(house) == {}
    await holder.send(holder.ended())
    assert list(await claimed(house)) == [first]


async def test_whoever_waits_for_work_is_told_when_a_place_is_given_back(house: Any) -> None:
    told: list[bool] = []
    first = await start(house, "prod")
    holder = (await claimed(house))[first]
    house.store.on_commit(lambda commit: told.append(commit.queued))

    await holder.send(holder.ended())

    assert told == [True]


async def test_a_playbook_may_have_starts_refused_instead(house: Any) -> None:
    refusing = keyed(1, at_limit="refuse")
    first = await start(house, "prod", refusing)
    await start(house, "test", refusing)

    with pytest.raises(ConcurrencyLimitReached) as refused:
        await start(house, "prod", refusing)

    assert refused.value.metadata == {"key": "deploy prod", "limit": "1", "count": "1", "runs": f"runs/{first}"}
    await stop_run(house.store, OPEN_CALLER, first, Stop.CANCEL, "", "")
    assert await start(house, "prod", refusing)


@pytest.mark.parametrize("environment", [None, ["prod"], 1.5, "two\nlines", "\ud800"])
async def test_an_input_that_makes_no_key_is_refused(house: Any, environment: object) -> None:
    with pytest.raises(FieldInvalid, match=r"request\.input"):
        await start(house, environment)


@pytest.fixture
async def others(house: Any, clock: Any) -> AsyncIterator[list[Any]]:
    """The same database as three control planes see it."""
    stores = [PostgresStore(house.store.url, clock) for _ in range(2)]
    for store in stores:
        await store.open()
    yield [house, *(type(house)(store) for store in stores)]
    for store in stores:
        await store.close()


@ON_POSTGRES
async def test_several_control_planes_hand_out_no_more_of_a_key_than_its_limit_and_all_of_it_in_the_end(
    house: Any, others: list[Any]
) -> None:
    runs = {await start(house, environment, keyed(2)) for environment in ("prod", "test") for _ in range(12)}
    at_work: dict[RunId, str] = {}
    most: dict[str, int] = {}
    done: set[RunId] = set()

    async def work(at: Any, name: str) -> None:
        executor = await at.connect(name)
        while done != runs:
            holders = await at.claim(executor, 5)
            at_work.update({holder.run_id: holder.claimed.run.identity.concurrency_key for holder in holders})
            for key in at_work.values():
                most[key] = max(most.get(key, 0), list(at_work.values()).count(key))
            for holder in holders:
                await holder.send(holder.started("after"), holder.settled("after"))
                del at_work[holder.run_id]
                done.add(holder.run_id)
                await holder.send(holder.ended())

    await asyncio.gather(*(work(at, f"x{index}-{each}") for index, at in enumerate(others) for each in range(3)))

    assert most == {"deploy prod": 2, "deploy test": 2}
