"""Snapshots of long logs: a cache, with which everything is as it is without."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from perdure.runlog.digests import NO_EVENTS, next_digest
from perdure.runlog.snapshots import take_snapshot
from perdure_control_plane.domain.snapshot import RunSnapshot
from perdure_control_plane.storage.tables import run_events, run_snapshots
from perdure_control_plane.usecases.explain_run import explain_run
from perdure_control_plane.usecases.fold_run import fold_run, stored_events
from perdure_control_plane.usecases.get_recovery import get_recovery
from perdure_control_plane.usecases.open_store_life import follow_store_life, open_store_life
from perdure_control_plane.usecases.take_snapshots import snapshot_run
from tests.conformance.stores import ON_POSTGRES, go_back

EVERY = 100


async def say_much(holder: Any, lines: int = 150) -> None:
    """Begins the first node, which says so many lines."""
    await holder.send(holder.started("a"), *[holder.log_line("a", f"line {line}") for line in range(lines)])


async def told(house: Any, holder: Any) -> tuple[Any, ...]:
    """What is said of a run by all that fold it."""
    folded = await fold_run(house.store, holder.run_id)
    explained = await explain_run(house.store, house.timing, holder.run_id)
    recovery = await get_recovery(house.store, house.timing, holder.run_id)
    return take_snapshot(folded.walk, 1).state, explained.reasons, recovery


async def test_with_a_snapshot_and_without_the_same_is_said_of_a_run(house: Any, holder: Any) -> None:
    await say_much(holder)
    without = await told(house, holder)

    taken = await snapshot_run(house.store, holder.run_id, EVERY)
    with_it = await told(house, holder)
    await holder.send(holder.settled("a"))
    later = await told(house, holder)
    await house.execute(delete(run_snapshots))

    assert taken == (await house.run(holder.run_id)).head.last_sequence - 1
    assert with_it == without
    assert later == await told(house, holder)


class _Meanwhile:
    """A store to which something happens once between reading and what comes after."""

    def __init__(self, house: Any, happens: Callable[[], Awaitable[Any]]) -> None:
        self.house, self.happens = house, happens
        self.has_happened = False

    async def read(self, body: Any) -> Any:
        found = await self.house.store.read(body)
        if not self.has_happened:
            self.has_happened = True
            await self.happens()
        return found

    async def write(self, body: Any) -> Any:
        return await self.house.store.write(body)


@ON_POSTGRES
@pytest.mark.parametrize("noticed", [False, True])
async def test_what_was_folded_before_the_store_went_back_is_no_snapshot(
    house: Any, holder: Any, *, noticed: bool
) -> None:
    await open_store_life(house.store, None)
    await say_much(holder)

    async def goes_back() -> None:
        await go_back(house, 1)
        if noticed:
            await follow_store_life(house.store)

    assert await snapshot_run(_Meanwhile(house, goes_back), holder.run_id, EVERY) == 0  # type: ignore[arg-type]
    assert await house.execute(select(run_snapshots)) == []


async def test_a_log_whose_last_events_are_gone_while_it_is_folded_has_no_snapshot(house: Any, holder: Any) -> None:
    await say_much(holder)
    last = (await house.run(holder.run_id)).head.last_sequence
    lost = (run_events.c.run_id == holder.run_id) & (run_events.c.sequence == last)
    kept = await house.execute(select(run_events).where(lost))

    async def loses_its_end() -> None:
        await house.execute(delete(run_events).where(lost))

    assert await snapshot_run(_Meanwhile(house, loses_its_end), holder.run_id, EVERY) == 0  # type: ignore[arg-type]
    assert await house.execute(select(run_snapshots)) == []
    await house.execute(insert(run_events).values(tuple(kept[0])))


async def test_a_log_with_a_snapshot_is_folded_from_there(house: Any, holder: Any) -> None:
    await say_much(holder)
    await snapshot_run(house.store, holder.run_id, EVERY)
    kept = await house.execute(select(run_events.c.event).where(run_events.c.sequence == 1))
    before = await told(house, holder)

    await house.execute(update(run_events).where(run_events.c.sequence == 1).values(event=b"\xff"))

    assert await told(house, holder) == before
    await house.execute(update(run_events).where(run_events.c.sequence == 1).values(event=kept[0][0]))


@pytest.mark.parametrize("spoil", [{"state": b"\xff"}, {"form": "another"}, {"fold_version": 7}])
async def test_a_snapshot_that_cannot_be_read_is_passed_over(house: Any, holder: Any, spoil: Any) -> None:
    await say_much(holder)
    without = await told(house, holder)
    await snapshot_run(house.store, holder.run_id, EVERY)

    await house.execute(update(run_snapshots).values(spoil))

    assert await told(house, holder) == without


async def test_a_snapshot_knows_its_log_by_a_digest_of_all_that_is_stored(house: Any, holder: Any) -> None:
    await say_much(holder)
    await snapshot_run(house.store, holder.run_id, EVERY)
    await say_much(holder)
    await snapshot_run(house.store, holder.run_id, EVERY)

    digest, last = NO_EVENTS, 0
    for recorded, stored in await house.store.read(lambda tx: list(stored_events(tx, holder.run_id))):
        digest, last = next_digest(digest, recorded, stored), recorded.sequence

    kept = await house.store.read(lambda tx: tx.snapshots.find(holder.run_id))
    assert (kept.head_digest, kept.walk.sequence) == (digest, last)


async def test_a_snapshot_is_taken_when_enough_has_come_and_none_takes_the_place_of_a_later_one(
    house: Any, holder: Any
) -> None:
    await say_much(holder, lines=50)
    too_early = await snapshot_run(house.store, holder.run_id, EVERY)
    await say_much(holder)
    first = await snapshot_run(house.store, holder.run_id, EVERY)
    again = await snapshot_run(house.store, holder.run_id, EVERY)
    folded = await fold_run(house.store, holder.run_id)
    older = RunSnapshot(holder.run_id, take_snapshot(folded.walk, 5), 1, bytes(32))
    await house.store.write(lambda tx: tx.snapshots.put(older))

    assert (too_early, again) == (0, 0)
    assert await house.execute(select(run_snapshots.c.sequence)) == [(first,)]


async def test_what_is_large_is_taken_less_often(house: Any, holder: Any) -> None:
    await say_much(holder)
    await holder.send(holder.output("a", b'"' + b"x" * 300_000 + b'"'))
    taken = await snapshot_run(house.store, holder.run_id, EVERY)
    await holder.send(*[holder.log_line("a", "more") for _ in range(150)])

    assert (taken > 0, await snapshot_run(house.store, holder.run_id, EVERY)) == (True, 0)


async def test_a_store_tells_of_logs_that_have_grown_and_of_no_short_ones(house: Any, holder: Any) -> None:
    grown: list[str] = []
    house.store.on_commit(lambda commit: grown.extend(commit.grown))

    await say_much(holder, lines=20)
    early = list(grown)
    await say_much(holder, lines=100)

    assert (early, grown) == ([], [holder.run_id])
