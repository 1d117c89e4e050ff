"""A database that is found to be damaged under a running server: nothing more is written, and everybody is told."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from perdure_control_plane.api.health import Health
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.ids import SessionId
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.usecases.create_session import create_session
from tests.conformance.stores import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
async def frail(house: Any, tmp_path: Any, clock: Any) -> AsyncIterator[Any]:
    """A house of its own, whose store a test may damage."""
    store = SqliteStore(tmp_path / "frail", clock)
    await store.open()
    yield type(house)(store)
    await store.close()


async def damage(house: Any) -> asyncio.Event:
    """Overwrites the database below the store that has it open; what is set when the store has given up."""
    gave_up = asyncio.Event()
    house.store.on_failure(gave_up.set)
    # What the writer holds in memory would hide from it what is on the disk.
    await house.store.write(lambda tx: tx.connection.exec_driver_sql("PRAGMA cache_size=0"))
    await house.store.write(lambda tx: tx.connection.exec_driver_sql("PRAGMA shrink_memory"))
    for file in house.store.path.parent.glob("perdure.db*"):
        if file.suffix != ".db-shm":
            file.write_bytes(b"\x7f" * file.stat().st_size)
    return gave_up


async def test_events_that_meet_damage_are_not_tried_again_and_end_the_writer(frail: Any) -> None:
    await frail.start()
    (holder,) = await frail.claim(await frail.connect())
    gave_up = await damage(frail)

    unanswered = asyncio.ensure_future(holder.send(holder.started("a")))
    await asyncio.wait_for(gave_up.wait(), 10)

    assert not unanswered.done()
    unanswered.cancel()
    with pytest.raises(StoreUnavailable, match="restore a backup"):
        await create_session(frail.store, OPEN_CALLER, SessionId("late"), "")
    assert "restore a backup" in frail.store.failure


async def test_a_write_that_meets_damage_is_refused_and_ends_the_writer(frail: Any) -> None:
    await frail.start()
    gave_up = await damage(frail)

    with pytest.raises(StoreUnavailable, match="restore a backup"):
        await create_session(frail.store, OPEN_CALLER, SessionId("late"), "")

    await asyncio.wait_for(gave_up.wait(), 10)


async def test_a_read_that_meets_damage_ends_the_writer(frail: Any) -> None:
    gave_up = await damage(frail)

    with pytest.raises(StoreUnavailable, match="restore a backup"):
        await frail.store.read(lambda tx: tx.runs.count_queued())

    await asyncio.wait_for(gave_up.wait(), 10)
    health = Health(frail.store, Limits())
    await health.look()
    for service in ("", "store", "journal"):
        answer = await health.servicer.Check(health_pb2.HealthCheckRequest(service=service), None)
        assert answer.status == answer.NOT_SERVING


async def test_damage_that_part_of_a_write_meets_is_the_fault_of_no_run(frail: Any) -> None:
    met = sqlite3.DatabaseError()
    met.sqlite_errorcode = sqlite3.SQLITE_CORRUPT_INDEX

    def part() -> None:
        raise met

    with pytest.raises(StoreUnavailable, match="restore a backup"):
        await frail.store.write(lambda tx: tx.apart(part))
