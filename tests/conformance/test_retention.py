"""What has ended long ago is deleted whole, and nothing else is; who asks for it is told."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Text, select, update

from perdure.runlog.head import Stop
from perdure.runlog.states import RunState
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import Deleted, NotFound
from perdure_control_plane.domain.ids import FlowId, RunId
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.retention import Outlook, Retained
from perdure_control_plane.storage import tables
from perdure_control_plane.usecases.continue_run import Continuing, continue_run
from perdure_control_plane.usecases.retain import retain
from perdure_control_plane.usecases.stop_run import stop_run
from perdure_control_plane.usecases.view_flow import get_flow
from tests.conformance.conftest import asked_id
from tests.conformance.stores import ON_POSTGRES
from tests.conformance.test_voting import ADA, say

DAY = 24 * 3600 * SECOND
AGE = 30 * DAY
NOTHING = Retained(0, 0, 0, 0)


async def at_once() -> None:
    """Lets nobody wait between two commits."""


async def ended(house: Any, **fields: Any) -> RunId:
    """A run that asked, printed and was cancelled, by a request with an id."""
    run_id: RunId = await house.start(house.manifest, **fields)
    (held,) = await house.claim(await house.connect())
    await held.send(*held.asks("gate", quorum=2), held.log_line("gate", "a line"))
    await held.send(held.paused())
    await say(house, asked_id(run_id), ADA)
    await stop_run(house.store, OPEN_CALLER, run_id, Stop.CANCEL, "", f"request-{run_id}")
    assert (await house.run(run_id)).head.ended_sequence
    return run_id


@pytest.fixture
def house(house: Any, manifests: dict[str, str]) -> Any:
    house.manifest = manifests["gated"]
    return house


async def named(house: Any, word: str) -> list[str]:
    """Tables with a row in which a text is, or ends with, a word; but for deletions, and who did what."""
    found, kept = [], (tables.deletions, tables.audit_events)
    for table in tables.metadata.sorted_tables:
        columns = [column for column in table.c if isinstance(column.type, Text)]
        rows = await house.execute(select(*columns)) if columns and table not in kept else ()
        if any(value is not None and value.endswith(word) for row in rows for value in row):
            found.append(table.name)
    return found


async def test_a_flow_that_ended_long_ago_is_gone_with_everything_that_names_it(house: Any, clock: Any) -> None:
    run_id = await ended(house)
    run = await house.run(run_id)
    assert {"flows", "runs", "approvals", "run_waits", "requests", "run_events"} <= set(await named(house, run_id))
    clock.advance(31 * DAY / SECOND)

    retained = await retain(house.store, AGE, at_once)

    assert retained == Retained(1, 1, run.head.last_sequence, 0)
    assert await named(house, run_id) == []
    assert await named(house, run.identity.flow_id) == []
    assert await retain(house.store, AGE, at_once) == NOTHING


async def test_who_asks_for_what_was_deleted_is_told_when_that_was(house: Any, clock: Any) -> None:
    run_id = await ended(house)
    flow_id = (await house.run(run_id)).identity.flow_id
    clock.advance(31 * DAY / SECOND)
    await retain(house.store, AGE, at_once)

    with pytest.raises(Deleted, match=rf"^runs/{run_id} had ended long ago and was deleted at 2023-12-") as told:
        await house.run(run_id)
    with pytest.raises(Deleted, match=r"^flows/"):
        await get_flow(house.store, flow_id)
    with pytest.raises(NotFound):
        await get_flow(house.store, FlowId("never"))

    assert told.value.metadata["resource"] == f"runs/{run_id}"


async def test_the_key_of_a_deleted_flow_begins_another(house: Any, clock: Any) -> None:
    first = await ended(house)
    house.starts -= 1
    assert await house.start(house.manifest) == first
    clock.advance(31 * DAY / SECOND)
    await retain(house.store, AGE, at_once)

    house.starts -= 1
    assert await house.start(house.manifest) != first


@pytest.mark.parametrize(
    "change",
    [
        {"ended_at": 1_700_000_000_000_000 + 2 * DAY},
        {"in_doubt": 1},
        {"state": RunState.MOVED.value},
    ],
    ids=["it ended lately", "an effect of it is in doubt", "another service has it"],
)
async def test_a_run_that_is_not_settled_for_so_long_stays(house: Any, clock: Any, change: dict[str, Any]) -> None:
    run_id = await ended(house)
    before = (await house.execute(select(*(tables.runs.c[name] for name in change))))[0]
    await house.execute(update(tables.runs).values(change))
    clock.advance(31 * DAY / SECOND)

    assert await retain(house.store, AGE, at_once) == NOTHING

    assert (await house.run(run_id)).run_id == run_id
    await house.execute(update(tables.runs).values(dict(zip(change, before, strict=True))))


async def test_a_flow_of_which_one_run_has_not_ended_stays_whole(house: Any, clock: Any) -> None:
    run_id = await ended(house)
    waits = await house.start(house.manifest)
    flow_id = (await house.run(run_id)).identity.flow_id
    of_its_own = (await house.run(waits)).identity.flow_id
    await house.execute(update(tables.runs).where(tables.runs.c.run_id == waits).values(flow_id=flow_id))
    clock.advance(31 * DAY / SECOND)

    assert await retain(house.store, AGE, at_once) == NOTHING

    assert len((await get_flow(house.store, flow_id)).runs) == 2
    await house.execute(update(tables.runs).where(tables.runs.c.run_id == waits).values(flow_id=of_its_own))


async def test_a_long_log_goes_in_many_commits_and_between_them_the_store_is_sound(house: Any, clock: Any) -> None:
    run_id = await house.start(house.manifest)
    (held,) = await house.claim(await house.connect())
    for _ in range(3):
        await held.send(*(held.log_line("gate", "a line") for _ in range(200)))
    await held.send(held.ended("FAILED"))
    (short,) = [await ended(house)]
    clock.advance(31 * DAY / SECOND)
    left: list[int] = []

    async def look() -> None:
        left.append((await house.counts())["run_events"])
        assert await house.differences() == []
        with pytest.raises(Deleted):
            await house.run(run_id)

    retained = await retain(house.store, AGE, look)

    assert retained.runs == 2
    assert len(left) > 3
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    assert retained.events == left[0]
    with pytest.raises(Deleted):
        await house.run(short)


async def test_what_would_go_is_counted_first_and_nothing_goes(house: Any, clock: Any) -> None:
    first = await ended(house)
    clock.advance(3600)
    last = await ended(house)
    ends = [(await house.run(run_id)).head.ended_at for run_id in (first, last)]
    counts = await house.counts()
    clock.advance(30 * DAY / SECOND - 1800)

    early = await house.store.read(lambda tx: tx.retention.outlook(tx.now - AGE))
    clock.advance(7200)
    outlook = await house.store.read(lambda tx: tx.retention.outlook(tx.now - AGE))

    assert (early.flows, early.oldest_end_at, early.newest_end_at) == (1, ends[0], ends[0])
    events = await house.execute(select(tables.run_events.c.event))
    assert outlook == Outlook(2, 2, len(events), sum(len(row[0]) for row in events), *ends)
    assert await house.counts() == counts


@ON_POSTGRES
async def test_a_run_that_is_continued_in_the_same_moment_is_continued_or_gone(house: Any, clock: Any) -> None:
    for _ in range(5):
        run_id = await house.start(house.manifest)
        (held,) = await house.claim(await house.connect())
        await held.send(held.ended("INTERRUPTED"))
        end = (await house.run(run_id)).head.ended_sequence
        clock.advance(31 * DAY / SECOND)
        asked = Continuing(run_id, end, "", 0, 10 * SECOND, "go on", "")

        _, continued = await asyncio.gather(
            retain(house.store, AGE, at_once), continue_run(house.store, OPEN_CALLER, asked), return_exceptions=True
        )

        if isinstance(continued, BaseException):
            assert isinstance(continued, Deleted)
            assert await named(house, run_id) == []
        else:
            assert (await house.run(run_id)).head.state is RunState.QUEUED
            await stop_run(house.store, OPEN_CALLER, run_id, Stop.CANCEL, "", "")


async def test_only_one_of_several_servers_has_its_turn(house: Any) -> None:
    turns = await asyncio.gather(
        *(house.store.write(lambda tx: tx.upkeep.take_turn("retention", tx.now, 60 * SECOND)) for _ in range(4))
    )

    assert turns.count(True) == 1
