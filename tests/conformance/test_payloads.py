"""Large payloads are kept once and apart, and nobody who reads a log notices; nobody who controls a run needs them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import delete, func, select, text, update

from perdure.runlog.head import Stop
from perdure.runlog.states import RunState
from perdure.v1 import execution_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.admission import Ack, Refused
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.origin import RESTORE as OUTSIDE
from perdure_control_plane.domain.queries import RunFilter
from perdure_control_plane.storage.tables import payload_references, payloads, run_events
from perdure_control_plane.usecases.continue_run import Continuing, continue_run
from perdure_control_plane.usecases.explain_run import explain_run
from perdure_control_plane.usecases.get_recovery import get_recovery
from perdure_control_plane.usecases.pause_run import pause_run
from perdure_control_plane.usecases.resume_run import resume_run
from perdure_control_plane.usecases.retain import retain
from perdure_control_plane.usecases.stop_run import stop_run
from tests.conformance.stores import ON_POSTGRES

KIB = 1024
MONTH = 31 * 24 * 3600


def output(letter: str, size: int = 600 * KIB) -> bytes:
    """A JSON object of a size."""
    return b'{"said": "' + letter.encode() * size + b'"}'


async def log_of(house: Any, run_id: RunId) -> list[Any]:
    return await house.store.read(lambda tx: tx.events.after(run_id, 0, limit=1000, max_bytes=1 << 30))


async def said_by(house: Any, name: str, json: bytes, **fields: Any) -> Any:
    """A holder whose run has an output."""
    await house.start(**fields)
    (held,) = await house.claim(await house.connect(name))
    await held.send(held.started("a"), held.output("a", json), held.settled("a"))
    return held


async def kept(house: Any) -> list[tuple[str, int, int]]:
    """Of each payload its digest, its size, and how many bytes it takes."""
    rows = await house.execute(select(payloads.c.digest, payloads.c.bytes, func.length(payloads.c.content)))
    return [(bytes(digest).hex(), size, taken) for digest, size, taken in rows]


@ON_POSTGRES
async def test_two_commits_that_keep_the_same_payloads_do_not_wait_for_each_other(house: Any, holder: Any) -> None:
    first, last = sorted((output("x"), output("y")), key=lambda json: hashlib.sha256(json).digest())
    other = await asyncpg.connect(house.store.url.set(drivername="postgresql").render_as_string(hide_password=False))
    await other.execute("SET deadlock_timeout = '10ms'")
    keep = "INSERT INTO payloads (digest, bytes, content, kept_at) VALUES ($1, 1, '', 0)"

    async with other.transaction():
        await other.execute(keep, hashlib.sha256(first).digest())
        events = [holder.started("a"), holder.output("a", last), holder.settled("a")]
        events += [holder.started("b"), holder.output("b", first), holder.settled("b")]
        sending = asyncio.ensure_future(holder.send(*events))
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
        await other.execute(keep, hashlib.sha256(last).digest())
        await other.execute("DELETE FROM payloads WHERE bytes = 1")

    assert isinstance(await sending, Ack)
    assert len(await kept(house)) == 2
    await other.close()


@pytest.mark.parametrize("size", [100 * KIB, 600 * KIB, 1000 * KIB])
async def test_an_event_comes_back_as_it_was_sent_wherever_its_payload_is_kept(house: Any, size: int) -> None:
    json = output("é", size // 2)
    held = await said_by(house, "x", json)

    recorded = (await log_of(house, held.run_id))[-2]

    assert recorded.event == held.output("a", json)
    (row,) = await house.execute(select(func.length(run_events.c.event)).where(run_events.c.kind == 101))
    if size > 256 * KIB:
        ((digest, bytes_, taken),) = await kept(house)
        assert (digest, bytes_) == (hashlib.sha256(json).hexdigest(), len(json))
        assert row[0] < 200
        assert taken < len(json) / 100
    else:
        assert await kept(house) == []
        assert row[0] > len(json)


async def test_equal_payloads_are_kept_once_whoever_sent_them(house: Any) -> None:
    json = output("x")

    first = await said_by(house, "x", json, input=json)
    second = await said_by(house, "y", json)

    assert [digest for digest, _, _ in await kept(house)] == [hashlib.sha256(json).hexdigest()]
    named = await house.execute(select(payload_references.c.run_id))
    assert sorted(row[0] for row in named) == sorted([first.run_id, second.run_id])
    assert (await log_of(house, first.run_id))[1].event.run_input.json == json


async def test_a_piece_of_a_log_is_as_large_as_its_payloads_make_it(house: Any) -> None:
    held = await said_by(house, "x", output("x"), input=output("y"))

    piece = await house.store.read(lambda tx: tx.events.after(held.run_id, 0, limit=100, max_bytes=700 * KIB))

    assert [recorded.event.WhichOneof("kind") for recorded in piece][-1] != "node_output"
    assert sum(recorded.event.ByteSize() for recorded in piece) < 700 * KIB


async def test_a_payload_over_the_limit_is_refused_and_hits_its_run_alone(house: Any) -> None:
    other = await said_by(house, "x", b"{}")
    await house.start()
    (held,) = await house.claim(await house.connect("y"))

    large, small = await asyncio.gather(
        held.send(held.started("a"), held.output("a", output("x", 2000 * KIB))),
        other.send(other.started("b", "AT_MOST_ONCE")),
    )

    assert isinstance(large, Refused)
    assert large.reason == execution_pb2.REFUSAL_REASON_PAYLOAD_TOO_LARGE
    assert not isinstance(small, Refused)
    assert await kept(house) == []


async def test_a_payload_goes_with_the_last_run_that_names_it(house: Any, clock: Any) -> None:
    first = await said_by(house, "x", output("x"))
    second = await said_by(house, "y", output("x"))
    lone = await said_by(house, "z", output("z"))
    for held in (first, lone):
        await held.send(held.ended("FAILED"))
    clock.advance(MONTH)

    retained = await retain(house.store, 30 * 24 * 3600 * SECOND, at_once)

    assert (retained.runs, retained.payloads) == (2, 1)
    assert [digest for digest, _, _ in await kept(house)] == [hashlib.sha256(output("x")).hexdigest()]
    assert (await log_of(house, second.run_id))[-2].event == second.output("a", output("x"))
    await stop_run(house.store, OPEN_CALLER, second.run_id, Stop.CANCEL, "", "")
    await second.send(second.ended("CANCELLED"), seen=100)
    clock.advance(MONTH)
    assert (await retain(house.store, 30 * 24 * 3600 * SECOND, at_once)).payloads == 1
    assert await kept(house) == []


async def at_once() -> None:
    """Lets nobody wait between two commits."""


async def test_controls_need_no_payload(house: Any) -> None:
    held = await said_by(house, "x", output("x"), input=output("y"))
    run_id = held.run_id
    whole = await house.execute(select(payloads))
    await house.execute(delete(payloads))
    with pytest.raises(DataCorrupt, match=r"payload [0-9a-f]{64} is missing or damaged"):
        await log_of(house, run_id)

    await pause_run(house.store, OPEN_CALLER, run_id, "look", "")
    await held.send(held.paused(ready=True), seen=100)
    listed = await house.store.read(lambda tx: tx.runs.page(RunFilter(), None, 10))
    explained = await explain_run(house.store, house.timing, run_id)
    await resume_run(house.store, OPEN_CALLER, run_id, "", "")
    await stop_run(house.store, OPEN_CALLER, run_id, Stop.INTERRUPT, "", "")
    recovery = await get_recovery(house.store, house.timing, run_id)
    again = Continuing(run_id, recovery.recovery.answers_sequence, "", 0, 0, "go on", "")
    continued = await continue_run(house.store, OPEN_CALLER, again)
    cancelled = await stop_run(house.store, OPEN_CALLER, run_id, Stop.CANCEL, "", "")

    assert [run.run_id for run in listed] == [run_id]
    assert explained.reasons
    assert continued.head.state is RunState.QUEUED
    assert cancelled.head.state is RunState.CANCELLED
    for row in whole:
        await house.execute(payloads.insert().values(row._mapping))


async def test_a_payload_that_is_not_what_its_event_says_is_said_to_be_damaged(house: Any) -> None:
    held = await said_by(house, "x", output("x"))
    await said_by(house, "y", output("y"))
    contents = {
        bytes(row[0]): bytes(row[1]) for row in await house.execute(select(payloads.c.digest, payloads.c.content))
    }
    mine, other = (hashlib.sha256(output(letter)).digest() for letter in "xy")
    changed = update(payloads).where(payloads.c.digest == mine)
    await house.execute(changed.values(content=contents[other]))

    with pytest.raises(DataCorrupt, match=f"^runs/{held.run_id} .*payload {mine.hex()} is missing or damaged"):
        await log_of(house, held.run_id)

    await house.execute(changed.values(content=contents[mine]))


@pytest.fixture
async def lock(store: Any) -> AsyncIterator[Any]:
    """A connection that holds a lock of its own, for others to wait for."""
    url = store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    await connection.execute("SELECT pg_advisory_lock(7)")
    yield connection
    await connection.close()


@ON_POSTGRES
async def test_what_is_named_again_while_it_is_collected_stays(house: Any, clock: Any, lock: Any) -> None:
    gone = await said_by(house, "x", output("x"))
    await gone.send(gone.ended("FAILED"))
    (digest,) = (row[0] for row in await house.execute(select(payloads.c.digest)))
    await house.execute(delete(payload_references))
    run_id = await house.start()

    def name_again(tx: Any) -> None:
        content = RunEvent()
        content.fact_content.json = output("x")
        tx.log.append(tx.runs.get(run_id), [content], OUTSIDE)
        tx.connection.execute(text("SELECT pg_advisory_xact_lock(7)"))

    naming = asyncio.create_task(house.store.write(name_again))
    await waiting(lock, 1)
    collecting = asyncio.create_task(house.store.write(lambda tx: tx.retention.collect([digest])))
    done, _ = await asyncio.wait([collecting, asyncio.create_task(waiting(lock, 2))], return_when="FIRST_COMPLETED")
    await lock.execute("SELECT pg_advisory_unlock(7)")
    await naming

    assert await collecting == 0
    assert (await log_of(house, run_id))[-1].event.fact_content.json == output("x")
    assert done
    await house.execute(payload_references.insert().values(digest=digest, run_id=gone.run_id))


async def waiting(connection: Any, count: int) -> None:
    """Returns when so many transactions wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while await connection.fetchval(query) < count:  # noqa: ASYNC110  # PostgreSQL tells nobody of it
        await asyncio.sleep(0.01)
