"""When the store cannot take something: nobody else suffers, nothing is lost, and it goes on by itself."""

import asyncio
import sqlite3
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from perdure.runlog.states import RunState
from perdure.v1 import execution_pb2
from perdure_control_plane.api.work.incoming import read_batch
from perdure_control_plane.domain.admission import Ack, Refused
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.ids import AgentId, SessionId
from perdure_control_plane.domain.session import Session
from perdure_control_plane.storage import writer
from perdure_control_plane.storage.run_events import holder_row
from perdure_control_plane.storage.tables import run_events
from perdure_control_plane.usecases.create_session import create_session
from tests.conformance.stores import ON_SQLITE

ROOM_TO_GROW = 1 << 30


async def limit_pages(house: Any, pages: int) -> int:
    """Limits the database, as a disk would, and returns how many pages it has."""

    def body(tx: Any) -> int:
        tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        return int(tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one())

    return int(await house.store.write(body))


async def fill(house: Any) -> None:
    """Lets the database not grow any more, and uses up what is left of its last pages."""
    await limit_pages(house, 1)  # means: as large as it is
    asked = (create_session(house.store, OPEN_CALLER, SessionId(f"filler-{number}"), "") for number in range(10_000))
    with pytest.raises(StoreUnavailable):
        await _one_after_the_other(asked)


async def _one_after_the_other(calls: Iterator[Coroutine[Any, Any, Any]]) -> None:
    for call in calls:
        await call


@ON_SQLITE
async def test_a_full_disk_keeps_batches_and_takes_them_when_there_is_room(house: Any, holder: Any) -> None:
    await fill(house)
    before = await house.kinds(holder.run_id)
    text = b'"' + b"x" * 100_000 + b'"'
    output = holder.output("a", text)

    waiting = asyncio.ensure_future(holder.send(holder.started("a"), output, holder.settled("a")))
    with pytest.raises(StoreUnavailable, match="disk is full; free some space and the server goes on by itself"):
        await create_session(house.store, OPEN_CALLER, SessionId("one-more" * 12), "")
    assert not waiting.done()
    assert await house.kinds(holder.run_id) == before

    await limit_pages(house, ROOM_TO_GROW)
    assert isinstance(await waiting, Ack)
    await holder.node("b", effect="AT_MOST_ONCE")
    await holder.send(holder.ended())
    assert (await house.run(holder.run_id)).head.state is RunState.COMPLETED


async def test_the_one_run_whose_events_the_store_refuses_is_told_so_and_no_other(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [await house.start() for _ in range(3)]
    first, culprit, last = await house.claim(await house.connect())
    assert {first.run_id, culprit.run_id, last.run_id} == set(runs)
    unfit = execution_pb2.EventBatch(events=[culprit.started("a")]).events[0].SerializeToString()
    monkeypatch.setattr(
        "perdure_control_plane.storage.journal.holder_row", _breaking(culprit.run_id, unfit), raising=True
    )

    answers = await asyncio.gather(*(each.send(each.started("a")) for each in (first, culprit, last)))

    assert [type(answer) for answer in answers] == [Ack, Refused, Ack]
    assert (await house.kinds(first.run_id))[-1] == (await house.kinds(last.run_id))[-1] == "node_started"
    assert (await house.kinds(culprit.run_id))[-1] == "lease_granted"


def _breaking(run_id: str, unfit: bytes) -> Any:
    def row(owner: str, sequence: int, at: int, lease: str, epoch: int, ordinal: int, kind: int, stored: bytes) -> Any:
        kept: Any = {"not": "storable"} if owner == run_id and stored == unfit else stored
        return holder_row(owner, sequence, at, lease, epoch, ordinal, kind, kept)

    return row


async def test_a_body_that_fails_takes_no_other_body_with_it(house: Any) -> None:
    def fails(tx: Any) -> None:
        tx.sessions.add(Session(SessionId("lost"), AgentId("agent"), tx.now))
        raise ZeroDivisionError

    kept, failed = await asyncio.gather(
        create_session(house.store, OPEN_CALLER, SessionId("kept"), ""),
        house.store.write(fails),
        return_exceptions=True,
    )

    assert kept.session_id == "kept"
    assert isinstance(failed, ZeroDivisionError)
    assert [session.session_id for session in await house.store.read(lambda tx: tx.sessions.page("", 10))] == ["kept"]


@ON_SQLITE
async def test_a_body_in_which_the_disk_fails_is_refused_with_what_helps(house: Any) -> None:
    met = sqlite3.OperationalError()
    met.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ

    def fails(_: Any) -> None:
        raise met

    with pytest.raises(StoreUnavailable, match="the disk does not take or give data"):
        await house.store.write(fails)


@pytest.mark.parametrize("part", ["listener", "reply"])
async def test_a_writer_that_an_error_ends_leaves_nobody_waiting(
    house: Any, holder: Any, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(writer, "MAX_BODIES", 1)
    ended = asyncio.Event()
    house.store.on_failure(ended.set)
    if part == "listener":
        house.store.on_commit(_raise)
    event = holder.started("a")
    batch = execution_pb2.EventBatch(
        run_id=holder.run_id, lease_id=holder.claimed.lease_id, first_ordinal=1, events=[event]
    )
    house.store.append(read_batch(batch, 1000), _raise if part == "reply" else lambda _: None)

    waiting = [create_session(house.store, OPEN_CALLER, SessionId(f"s{number}"), "") for number in range(3)]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    await ended.wait()

    assert {type(answer) for answer in answers} <= {StoreUnavailable, Session}
    with pytest.raises(StoreUnavailable, match="start the server again"):
        await create_session(house.store, OPEN_CALLER, SessionId("late"), "")
    assert "start the server again" in house.store.failure


def _raise(_: Any) -> None:
    raise ZeroDivisionError


async def test_more_than_a_commit_takes_is_committed_in_turn(
    house: Any, holder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_EVENTS", 2)
    lines = [holder.log_line("a", f"line {number}") for number in range(9)]

    answers = await asyncio.gather(*(holder.send(line) for line in [holder.started("a"), *lines]))

    assert [answer.ordinal for answer in answers] == list(range(1, 11))


async def change_event(house: Any, run_id: str, sequence: int, event: bytes) -> bytes:
    """Puts other bytes into the log, as a fault of the disk would, and returns those that were there."""

    def body(tx: Any) -> bytes:
        place = (run_events.c.run_id == run_id) & (run_events.c.sequence == sequence)
        before = tx.connection.execute(select(run_events.c.event).where(place)).scalar_one()
        tx.connection.execute(update(run_events).where(place).values(event=event))
        return bytes(before)

    return bytes(await house.store.write(body))


async def test_a_log_that_cannot_be_read_keeps_no_other_run_waiting(house: Any) -> None:
    broken, sound = await house.start(), await house.start()
    first = await change_event(house, broken, 1, b"\xff")

    claimed = await house.claim(await house.connect())

    logs = {holder.run_id: [recorded.sequence for recorded in holder.claimed.log] for holder in claimed}
    assert logs == {broken: [], sound: [1, 2, 3]}
    await change_event(house, broken, 1, first)  # what the rebuild check reads afterwards
