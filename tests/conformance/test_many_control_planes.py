"""Several control planes on one database: whoever does what first, the log holds it once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from perdure.runlog.states import RunState
from perdure.v1 import execution_pb2
from perdure_control_plane.api.work.incoming import read_batch
from perdure_control_plane.domain.admission import Ack, Answer, Behind, Rejected
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.usecases.claim_runs import Claim, claim_runs
from perdure_control_plane.usecases.pause_run import pause_run
from perdure_control_plane.usecases.resume_run import resume_run
from perdure_control_plane.usecases.start_flow import FlowStarter
from tests.conformance.stores import ON_POSTGRES

pytestmark = ON_POSTGRES


@pytest.fixture
async def other(house: Any, clock: Any) -> AsyncIterator[Any]:
    """The same database as another control plane sees it."""
    store = PostgresStore(house.store.url, clock)
    await store.open()
    yield type(house)(store)
    await store.close()


async def submit(house: Any, message: Any) -> Answer:
    """Gives a batch to a control plane, and waits for its answer."""
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    house.store.append(read_batch(message, house.limits.max_payload_bytes), answered.set_result)
    return await answered


async def test_of_many_runs_each_is_handed_out_once(house: Any, other: Any) -> None:
    runs = [await house.start() for _ in range(30)]
    takers = [(house, await house.connect("x")), (other, await other.connect("y"))]

    async def take(each: Any, executor: Any) -> list[Any]:
        taken = []
        for _ in range(10):
            claim = Claim(executor.incarnation, executor.stream_number, 3, 1, 1)
            taken += (await claim_runs(each.store, each.timing, claim)).claimed
        return taken

    claimed = [run for taken in await asyncio.gather(*(take(*taker) for taker in takers)) for run in taken]

    assert sorted(taken.run.run_id for taken in claimed) == sorted(runs)


async def test_a_batch_that_comes_to_two_of_them_at_once_is_stored_once(house: Any, other: Any, holder: Any) -> None:
    for ordinal in range(1, 21):
        message = holder_batch(holder, ordinal, [holder.log_line("a", f"line {ordinal}")])

        answers = await asyncio.gather(submit(house, message), submit(other, message))

        assert [answer.ordinal for answer in answers] == [ordinal, ordinal]
    assert (await house.kinds(holder.run_id)).count("log_line") == 20


async def test_what_one_of_them_has_moved_the_other_reads_again(house: Any, other: Any, holder: Any) -> None:
    await submit(house, holder_batch(holder, 1, [holder.started("a")]))
    await submit(other, holder_batch(holder, 2, [holder.settled("a")]))

    answer = await submit(house, holder_batch(holder, 3, [holder.started("b", "AT_MOST_ONCE")]))

    assert answer == Ack(ordinal=3, sequence=6)


async def test_what_one_of_them_answered_as_behind_no_other_stores(house: Any, other: Any, holder: Any) -> None:
    begins = holder_batch(holder, 1, [holder.started("a")])
    await pause_run(house.store, OPEN_CALLER, holder.run_id, "", "")
    await submit(other, begins)
    await resume_run(house.store, OPEN_CALLER, holder.run_id, "", "")

    answer = await submit(house, begins)

    assert isinstance(answer, Behind)
    assert "node_started" not in await house.kinds(holder.run_id)


async def test_a_lapse_at_one_of_them_is_known_to_the_other(house: Any, other: Any, holder: Any, clock: Any) -> None:
    await submit(house, holder_batch(holder, 1, [holder.started("a")]))
    clock.advance(house.timing.lease / 4e6)
    await other.sweep()
    for _ in range(8):
        clock.advance(house.timing.lease / 4e6)
        await other.sweep()

    answer = await submit(house, holder_batch(holder, 2, [holder.settled("a")]))

    assert answer == Rejected()
    assert (await house.run(holder.run_id)).head.state is RunState.QUEUED


async def test_starts_with_one_key_at_both_are_one_flow(house: Any, other: Any) -> None:
    asked = await house.asked(idempotency_key="the same")

    flows = await asyncio.gather(
        *(FlowStarter(each.store, each.limits).start(OPEN_CALLER, asked) for each in (house, other) * 5)
    )

    assert len({view.flow.flow_id for view in flows}) == 1
    assert (await house.counts())["runs"] == 1


async def test_many_starts_at_once_at_both_all_succeed(house: Any, other: Any) -> None:
    asked = await house.asked()

    flows = await asyncio.gather(
        *(
            FlowStarter(each.store, each.limits).start(OPEN_CALLER, replace(asked, idempotency_key=f"start {number}"))
            for number, each in enumerate((house, other) * 40)
        )
    )

    assert len({view.flow.flow_id for view in flows}) == 80


async def test_a_run_that_is_being_written_to_waits_for_the_next_commit_and_no_other_run_waits_for_it(
    house: Any,
) -> None:
    for _ in range(2):
        await house.start()
    busy, free = await house.claim(await house.connect())
    url = house.store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    writer = await asyncpg.connect(url)

    async with writer.transaction():
        await writer.execute("SELECT 1 FROM runs WHERE run_id = $1 FOR UPDATE", busy.run_id)
        waiting = asyncio.ensure_future(busy.send(busy.started("a"), busy.settled("a")))
        assert await free.send(free.started("a")) == Ack(ordinal=1, sequence=4)
        assert await free.send(free.settled("a")) == Ack(ordinal=2, sequence=5)
        assert not waiting.done()

    assert await waiting == Ack(ordinal=2, sequence=5)
    await writer.close()


async def test_heartbeats_and_sweeps_at_the_same_time_lose_no_lease(
    house: Any, other: Any, holder: Any, clock: Any
) -> None:
    executor = await house.connect("keeper")
    await house.start()
    (kept,) = await house.claim(executor)

    for _ in range(20):
        clock.advance(house.timing.lease / 3e6)
        renewed, _ = await asyncio.gather(house.renew(executor, kept), other.sweep())
        assert renewed is not None

    assert (await house.run(kept.run_id)).head.lease_id == kept.claimed.lease_id


def holder_batch(holder: Any, first: int, events: list[Any]) -> Any:
    """A batch of a holder's, as its executor sends it."""
    return execution_pb2.EventBatch(
        run_id=holder.run_id, lease_id=holder.claimed.lease_id, first_ordinal=first, seen=holder.seen, events=events
    )
