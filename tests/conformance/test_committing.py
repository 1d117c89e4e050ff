"""The shared commit: nothing is answered before it, everything in it is stored, and the next life of the server goes on."""

import asyncio
from typing import Any

import pytest

from perdure.v1 import execution_pb2
from perdure_control_plane.api.work.incoming import read_batch
from perdure_control_plane.domain.admission import Ack, Refused
from perdure_control_plane.domain.leases import StoreMark
from tests.conformance.stores import lose_a_commit, refuse_events, stored_events, take_events_again


async def test_when_an_answer_is_given_everybody_can_read_what_it_acknowledges(house: Any, holder: Any) -> None:
    message = execution_pb2.EventBatch(
        run_id=holder.run_id,
        lease_id=holder.claimed.lease_id,
        first_ordinal=1,
        seen=holder.seen,
        events=[holder.started("a"), holder.settled("a")],
    )
    answered: asyncio.Future[tuple[Any, int]] = asyncio.get_running_loop().create_future()

    house.store.append(
        read_batch(message, house.limits.max_payload_bytes),
        lambda answer: answered.set_result((answer, stored_events(house.store, holder.run_id))),
    )

    answer, readable = await answered
    assert answer == Ack(ordinal=2, sequence=5)
    assert readable == 5


async def test_batches_of_many_runs_in_one_commit_are_all_stored(house: Any) -> None:
    for _ in range(5):
        await house.start()
    holders = await house.claim(await house.connect())

    answers = await asyncio.gather(*(holder.send(holder.started("a"), holder.settled("a")) for holder in holders))

    assert answers == [Ack(ordinal=2, sequence=5)] * 5
    for holder in holders:
        assert (await house.kinds(holder.run_id))[-2:] == ["node_started", "node_settled"]


async def test_a_run_goes_on_at_the_next_sequence_after_the_server_was_started_again(house: Any, holder: Any) -> None:
    await holder.send(holder.started("a"))
    await house.store.close()
    await house.store.open()

    answer = await holder.send(holder.settled("a"))

    assert answer == Ack(ordinal=2, sequence=5)
    # Reading the kinds asserts that sequences follow each other.
    assert (await house.kinds(holder.run_id))[-2:] == ["node_started", "node_settled"]


async def test_what_fails_in_a_shared_commit_takes_nothing_with_it(house: Any, holder: Any) -> None:
    def fails(tx: Any) -> None:
        tx.copy.set_mark(StoreMark(9, 9))
        raise LookupError("no")

    answer, failed, mark = await asyncio.gather(
        holder.send(holder.started("a")),
        house.store.write(fails),
        house.store.write(lambda tx: tx.copy.mark()),
        return_exceptions=True,
    )

    assert isinstance(failed, LookupError)
    assert (answer, mark) == (Ack(ordinal=1, sequence=4), None)
    assert (await house.kinds(holder.run_id))[-1] == "node_started"


async def test_of_a_group_that_the_store_refuses_only_the_culprit_is_refused(house: Any) -> None:
    for _ in range(4):
        await house.start()
    culprit, *others = await house.claim(await house.connect())
    await refuse_events(house, culprit.run_id)

    refused, *stored = await asyncio.gather(*(one.send(one.started("a")) for one in (culprit, *others)))

    assert isinstance(refused, Refused)
    assert stored == [Ack(ordinal=1, sequence=4)] * 3
    assert (await house.run(culprit.run_id)).head.last_sequence == 3


async def test_a_run_whose_events_were_refused_goes_on_when_the_store_takes_them(house: Any, holder: Any) -> None:
    await refuse_events(house)
    await holder.send(holder.started("a"))
    await take_events_again(house)

    answer = await holder.send(holder.started("a"), first=1)

    assert answer == Ack(ordinal=1, sequence=4)


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_commit_of_which_nobody_knows_whether_it_was_done_is_sent_again_and_stored_once(
    house: Any, holder: Any, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    lose_a_commit(monkeypatch, house.store, is_done=is_done)

    answer = await holder.send(holder.started("a"), holder.settled("a"))

    assert answer == Ack(ordinal=2, sequence=5)
    assert (await house.kinds(holder.run_id))[3:] == ["node_started", "node_settled"]


async def test_calls_that_are_given_up_half_way_leave_the_store_as_it_was(house: Any) -> None:
    run_id = await house.start()
    for steps in range(0, 400, 5):
        call = asyncio.ensure_future(house.store.write(lambda tx: tx.runs.get(run_id)))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    found = await asyncio.gather(*(house.run(run_id) for _ in range(20)))
    assert {run.run_id for run in found} == {run_id}
