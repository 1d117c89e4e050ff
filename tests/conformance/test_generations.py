"""A store that went back to an earlier position: what it gave out is void, and what may have happened since is asked."""

import asyncio
import dataclasses
from typing import Any

import pytest

from perdure.runlog.head import Hold, Stop
from perdure.runlog.states import RunState
from perdure_control_plane.api.work.incoming import read_batch
from perdure_control_plane.domain.admission import Rejected
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.ids import LeaseId, RunId
from perdure_control_plane.usecases.continue_run import Continuing, continue_run
from perdure_control_plane.usecases.open_store_life import Lost, follow_store_life, open_store_life, raise_generation
from perdure_control_plane.usecases.ports import Order
from perdure_control_plane.usecases.stop_run import stop_run
from perdure_control_plane.usecases.take_over import take_back_undelivered
from tests.conformance.stores import ON_POSTGRES, ON_SQLITE, go_back

HARMLESS = """
playbook_id: harmless
version: 1.0.0
title: Nothing that matters
objective: Compute
nodes:
  - {id: a, type: function, function: noop, effect: idempotent}
"""


async def test_a_start_after_a_start_is_the_same_generation_and_leaves_everything(house: Any, holder: Any) -> None:
    first = await open_store_life(house.store, None)
    second = await open_store_life(house.store, first.mark.starts)

    assert (first.mark.generation, second.mark.generation) == (1, 1)
    assert (first.restored, second.restored) == (False, False)
    assert second.mark.starts > first.mark.starts
    assert (await house.run(holder.run_id)).head.state is RunState.RUNNING


@ON_SQLITE
@pytest.mark.parametrize("seen_beside", ["more starts", "nothing"])
async def test_a_store_behind_its_count_voids_its_leases_and_holds_what_may_have_had_an_effect(
    house: Any, holder: Any, seen_beside: str
) -> None:
    begun = await open_store_life(house.store, None)

    life = await open_store_life(house.store, begun.mark.starts + 3 if seen_beside == "more starts" else None)

    run = await house.run(holder.run_id)
    assert life.restored
    assert life.held == (holder.run_id,)
    assert life.mark.generation == begun.mark.generation + 1
    assert life.mark.starts > begun.mark.starts + (3 if seen_beside == "more starts" else 0)
    assert (run.head.state, run.head.holds) == (RunState.PAUSED, Hold.STORE_RESTORED)
    assert await holder.send(holder.started("a")) == Rejected()


@ON_POSTGRES
async def test_servers_that_run_find_a_standby_in_the_primarys_place_and_void_leases_once(
    house: Any, holder: Any
) -> None:
    begun = await open_store_life(house.store, None)
    await go_back(house, begun.mark.starts)

    lives = await asyncio.gather(*(follow_store_life(house.store) for _ in range(5)))

    after = await follow_store_life(house.store)
    assert [life.restored for life in lives].count(True) == 1
    assert {life.mark.generation for life in lives} == {after.mark.generation} == {begun.mark.generation + 1}
    assert not after.restored
    run = await house.run(holder.run_id)
    assert (run.head.state, run.head.holds) == (RunState.PAUSED, Hold.STORE_RESTORED)
    assert (await house.kinds(holder.run_id)).count("fact_recorded") == 1


@pytest.mark.parametrize(("stop", "state"), [("INTERRUPT", "INTERRUPTED"), ("CANCEL", "CANCELLED")])
async def test_a_stop_that_a_holder_had_not_carried_out_is_when_its_lease_is_void(
    house: Any, holder: Any, stop: str, state: str
) -> None:
    begun = await open_store_life(house.store, None)
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop(stop), "", "")

    await open_store_life(house.store, await go_back(house, begun.mark.starts))

    run = await house.run(holder.run_id)
    assert (run.head.state, run.head.holds) == (RunState(state), Hold.STORE_RESTORED)


@ON_POSTGRES
async def test_nothing_is_handed_out_or_renewed_on_a_standby_in_the_primarys_place_before_its_leases_are_void(
    house: Any,
) -> None:
    begun = await open_store_life(house.store, None)
    await house.start(HARMLESS)
    executor = await house.connect()
    await go_back(house, begun.mark.starts)

    assert await house.claim(executor) == []
    with pytest.raises(StoreUnavailable):
        await house.renew(executor)
    with pytest.raises(StoreUnavailable):
        await house.connect("another")

    await follow_store_life(house.store)
    assert len(await house.claim(executor)) == 1


@ON_POSTGRES
async def test_nothing_that_a_holder_says_is_stored_on_a_standby_in_the_primarys_place_before_its_leases_are_void(
    house: Any, holder: Any
) -> None:
    begun = await open_store_life(house.store, None)
    await go_back(house, begun.mark.starts)
    said = holder.batch(holder.started("a"))

    with pytest.raises(StoreUnavailable):
        await house.store.write(lambda tx: tx.append([read_batch(said, house.limits.max_payload_bytes)]))
    saying = asyncio.ensure_future(house.append(said))
    await follow_store_life(house.store)

    assert await saying == Rejected()
    assert "node_started" not in await house.kinds(holder.run_id)


@ON_POSTGRES
async def test_no_run_is_ended_on_a_standby_in_the_primarys_place_before_it_is_held(house: Any, clock: Any) -> None:
    begun = await open_store_life(house.store, None)
    run_id = await house.start(timeout_micros=5_000_000)
    await house.sweep()
    await go_back(house, begun.mark.starts)
    clock.advance(6)

    with pytest.raises(StoreUnavailable):
        await stop_run(house.store, OPEN_CALLER, run_id, Stop.INTERRUPT, "", "")
    await house.sweep()
    before = (await house.run(run_id)).head.state
    await follow_store_life(house.store)

    run = await house.run(run_id)
    assert before is RunState.QUEUED
    assert (run.head.state, run.head.holds) == (RunState.PAUSED, Hold.STORE_RESTORED)


class _ReplacedBeforeItsFirstWrite:
    """A store whose primary is lost between what a server has read and what it writes."""

    def __init__(self, house: Any, starts: int) -> None:
        self._house, self._starts = house, starts
        self._replaced = False

    async def read(self, body: Any) -> Any:
        return await self._house.store.read(body)

    async def write(self, body: Any, *order: Order) -> Any:
        if not self._replaced:
            self._replaced = True
            await go_back(self._house, self._starts)
        return await self._house.store.write(body, *order)


@ON_POSTGRES
async def test_a_standby_that_takes_over_while_a_server_starts_voids_leases_before_it_is_served(
    house: Any, holder: Any
) -> None:
    begun = await open_store_life(house.store, None)
    store: Any = _ReplacedBeforeItsFirstWrite(house, begun.mark.starts)

    life = await open_store_life(store, None)

    run = await house.run(holder.run_id)
    assert (life.restored, life.held) == (True, (holder.run_id,))
    assert (run.head.state, run.head.holds) == (RunState.PAUSED, Hold.STORE_RESTORED)


async def test_only_a_run_whose_lease_stands_is_taken_back_where_it_could_not_be_handed_over(
    house: Any, holder: Any
) -> None:
    async def take_back(run_id: str, lease_id: str) -> bool:
        return await take_back_undelivered(house.store, house.timing, RunId(run_id), LeaseId(lease_id))

    lost = await take_back("0" * 32, holder.claimed.lease_id)
    moved_on = await take_back(holder.run_id, "another lease")
    stands = await take_back(holder.run_id, holder.claimed.lease_id)

    assert (lost, moved_on, stands) == (False, False, True)
    assert (await house.run(holder.run_id)).head.state is RunState.QUEUED


async def test_a_store_that_is_as_it_was_is_followed_without_a_change(house: Any, holder: Any) -> None:
    begun = await open_store_life(house.store, None)

    life = await follow_store_life(house.store)

    assert (life.mark, life.restored) == (begun.mark, False)
    assert (await house.run(holder.run_id)).head.state is RunState.RUNNING


async def test_a_run_that_nobody_holds_is_held_too(house: Any) -> None:
    run_id = await house.start()
    begun = await open_store_life(house.store, None)

    await open_store_life(house.store, await go_back(house, begun.mark.starts))

    assert (await house.run(run_id)).head.state is RunState.PAUSED
    assert await house.claim(await house.connect()) == []


async def test_a_run_without_such_an_effect_goes_on_at_another_executor(house: Any) -> None:
    await house.start(HARMLESS)
    (holder,) = await house.claim(await house.connect())
    begun = await open_store_life(house.store, None)

    await open_store_life(house.store, await go_back(house, begun.mark.starts))

    assert await holder.send(holder.started("a", "IDEMPOTENT")) == Rejected()
    assert [again.run_id for again in await house.claim(await house.connect("y"))] == [holder.run_id]


async def test_a_run_that_had_ended_is_left_alone(house: Any) -> None:
    run_id = await house.start()
    await stop_run(house.store, OPEN_CALLER, run_id, Stop.CANCEL, "", "")
    begun = await open_store_life(house.store, None)

    await open_store_life(house.store, await go_back(house, begun.mark.starts))

    assert (await house.run(run_id)).head.holds == 0


async def test_a_run_held_for_it_goes_on_when_it_is_continued(house: Any, holder: Any) -> None:
    begun = await open_store_life(house.store, None)
    await open_store_life(house.store, await go_back(house, begun.mark.starts))
    placed = (await house.run(holder.run_id)).head.outside_sequence

    run = await continue_run(house.store, OPEN_CALLER, Continuing(holder.run_id, placed, "", 0, 0, "looked at", ""))

    assert (run.head.state, run.head.holds) == (RunState.QUEUED, 0)


async def test_a_server_that_dies_while_it_voids_leases_leaves_it_to_the_next(house: Any, holder: Any) -> None:
    begun = await open_store_life(house.store, None)
    seen = await go_back(house, begun.mark.starts)
    with pytest.raises(ConnectionAbortedError):
        await open_store_life(Dying(house.store), seen)

    life = await open_store_life(house.store, seen)

    assert life.restored
    assert (await house.run(holder.run_id)).head.holds == Hold.STORE_RESTORED


@dataclasses.dataclass
class Dying:
    """A store whose server dies after its first write."""

    store: Any

    async def read(self, body: Any) -> Any:
        return await self.store.read(body)

    async def write(self, body: Any, order: Order = Order.ALONE) -> Any:
        await self.store.write(body, order)
        raise ConnectionAbortedError


async def test_an_executor_that_was_told_more_than_the_store_knows_raises_the_generation(
    house: Any, holder: Any
) -> None:
    begun = await open_store_life(house.store, None)
    await holder.send(holder.started("a"))

    mark = await raise_generation(house.store, Lost(holder.run_id, holder.claimed.lease_id, 2))

    assert mark is not None
    assert mark.generation == begun.mark.generation + 1
    assert (await house.run(holder.run_id)).head.holds == Hold.STORE_RESTORED


@pytest.mark.parametrize(
    "change",
    [{"ordinal": 1}, {"lease_id": LeaseId("another")}, {"run_id": RunId("another")}],
    ids=["it was told what is stored", "it does not hold the run", "there is no such run"],
)
async def test_a_report_that_the_store_refutes_voids_nothing(house: Any, holder: Any, change: dict[str, Any]) -> None:
    begun = await open_store_life(house.store, None)
    await holder.send(holder.started("a"))
    reported = dataclasses.replace(Lost(holder.run_id, holder.claimed.lease_id, 2), **change)

    mark = await raise_generation(house.store, reported)

    after = await open_store_life(house.store, begun.mark.starts)
    assert mark is None
    assert after.mark.generation == begun.mark.generation
    assert (await house.run(holder.run_id)).head.state is RunState.RUNNING


async def test_a_second_report_of_the_same_loss_voids_nothing_more(house: Any, holder: Any) -> None:
    await open_store_life(house.store, None)
    lost = Lost(holder.run_id, holder.claimed.lease_id, 5)
    first = await raise_generation(house.store, lost)

    assert first is not None
    assert await raise_generation(house.store, lost) is None
