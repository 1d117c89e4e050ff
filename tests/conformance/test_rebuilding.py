"""The tables beside the log follow from the log alone; what does not is found."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from perdure.runlog.states import RunState
from perdure_control_plane.storage.tables import approvals, run_events, run_queue, run_waits, runs


async def test_a_question_and_the_runs_end_in_one_commit_leave_nothing_open(house: Any, gated: Any) -> None:
    # Both batches wait while the commit before them runs, so that one commit takes them.
    await asyncio.gather(gated.send(*gated.asks("gate")), gated.send(gated.ended("FAILED")))

    assert (await house.run(gated.run_id)).head.state is RunState.FAILED
    assert await house.execute(select(run_waits.c.state, run_waits.c.deadline_at)) == [("CLOSED", 0)]
    assert await house.execute(select(approvals.c.state)) == [("CLOSED",)]


@pytest.fixture
async def asking(house: Any, gated: Any) -> AsyncIterator[Any]:
    """A run that waits for a decision. What a test bends is put right when it ends."""
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.paused())
    kept = {table: await house.execute(select(table)) for table in (runs, run_queue, run_waits, approvals)}
    yield gated
    for table, rows in kept.items():
        await house.execute(delete(table))
        for row in rows:
            await house.execute(insert(table).values(row._asdict()))


@pytest.mark.parametrize(
    ("bend", "found"),
    [
        (update(runs).values(open_waits=2), "open_waits is 2; the log gives 1"),
        (update(runs).values(failure_message="x"), "failure_message is 'x'; the log gives ''"),
        (update(runs).values(tail=7), "tail is 7; the log gives 0"),
        (update(run_waits).values(state="CLOSED"), "state is 'CLOSED'; the log gives 'OPEN'"),
        (update(approvals).values(decider="mallory"), "decider is 'mallory'; the log gives None"),
        (delete(approvals), "the row is missing"),
        (delete(runs), "the row is missing"),
    ],
    ids=["a count", "a text", "a free run's tail", "a wait", "a decider", "a lost approval", "a lost run"],
)
async def test_what_the_log_does_not_give_is_found(house: Any, asking: Any, bend: Any, found: str) -> None:
    assert await house.differences() == []

    await house.execute(bend)

    (difference,) = await house.differences()
    assert difference.endswith(found)


async def test_a_row_of_a_run_that_has_no_log_is_found(house: Any, asking: Any) -> None:
    needs = {
        "queue": "q",
        "fold_version": 1,
        "providers": "[]",
        "labels": "[]",
        "concurrency_key": "",
        "concurrency_limit": 0,
    }
    queued = {"run_id": "ghost", "priority": 0, "ready_at": 1, **needs}
    await house.execute(insert(run_queue).values(queued))

    assert await house.differences() == ["run_queue ghost: no log gives this row"]


async def test_a_holders_tail_is_its_own(house: Any, holder: Any) -> None:
    await holder.send(holder.started("a"), tail=3)

    assert await house.execute(select(runs.c.tail)) == [(3,)]
    assert await house.differences() == []


async def test_a_log_without_its_last_event_gives_another_row(house: Any, holder: Any) -> None:
    await holder.node("a")
    (row,) = await house.execute(select(run_events).order_by(run_events.c.sequence.desc()).limit(1))
    last = (run_events.c.run_id == row.run_id) & (run_events.c.sequence == row.sequence)

    await house.execute(delete(run_events).where(last))

    found = await house.differences()
    await house.execute(insert(run_events).values(row._asdict()))
    assert [text.partition(": ")[2] for text in found] == [
        "next_ordinal is 3; the log gives 2",
        "last_sequence is 5; the log gives 4",
    ]
